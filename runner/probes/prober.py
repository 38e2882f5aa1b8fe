"""The prober: sends requests on a fixed schedule and writes down what became of each. It decides nothing.

One file, because it is also streamed into containers of the application's image: the standard library and
aiohttp (whose HTTP parser it uses), uvloop where it is there, Python 3.9 and later, nothing of ftrun.
docs/prober.md has its commands and events, docs/formats.md the files it writes.

Sockets are driven here directly, not through an HTTP client: a client repeats a request when a kept
connection turns out closed, rounds timeouts, and hides in which phase a request ended.

How time passes: one alarm (a timerfd with absolute instants, so that nothing drifts and no millisecond is
rounded up) wakes the prober for the next request due, and every 20 ms anyway. Each wake-up first looks how
long the last one is ago; after a stall the sockets are served before anything is sent or given up.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import ctypes
import errno
import gc
import hashlib
import ipaddress
import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import sys
import time
import urllib.parse
from collections import deque
from functools import partial
from typing import Any, Callable, Deque, Dict, List, Optional, Pattern, Tuple, Union

import aiohttp
from aiohttp.http import HttpResponseParser

Json = Any

MAGIC = b"FTSAMP\x01\n"
FRAME = struct.Struct("<HI")
"""The head of a piece of the tape: which file it belongs to, and how long it is."""
SAID = 0
"""The file of the tape that holds the events."""
HEADER_BYTES = 4096
RECORD = struct.Struct("<IIIHHHBB")
RECORD_FIELDS = [
    ["n", "<u4"],
    ["late", "<u4"],
    ["took", "<u4"],
    ["status", "<u2"],
    ["who", "<u2"],
    ["detail", "<u2"],
    ["outcome", "u1"],
    ["flags", "u1"],
]

OK, HTTP_5XX, HTTP_4XX, WRONG_BODY, REFUSED, RESET, EOF, UNREACHABLE, TIMEOUT, DNS, TLS, VOID = range(1, 13)

PHASES = ("resolve", "connect", "tls", "send", "head", "body")
RESOLVE, CONNECT, TLS_PHASE, SEND, HEAD, BODY = range(6)
OPENED = 8
"""The flag of a record whose request opened a connection."""

MS = 1_000_000
SECOND = 1000 * MS
TICK = 20 * MS
STALL = 50 * MS
LATEST = 20 * MS
"""A request this late (or a whole period, whichever is more) is not sent."""
LEAD = 50 * MS
"""From the command `start` to the first request: the files are written in between."""
LINGER = 500 * MS
"""How long a finished `new` connection waits for the server to close it first."""
LEASE = 60_000 * MS
SUSPENDED = 10 * MS

BODY_KEPT = 1 << 20
TEXT_KEPT = 200
HIDDEN = "(hidden)"
"""What stands in place of a secret."""

VOID_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
ERRORS = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.ECONNABORTED: RESET,
    errno.EPIPE: RESET,
    errno.ETIMEDOUT: TIMEOUT,
}

clock = time.monotonic_ns


def main() -> None:
    """Serve commands from standard input until told to end.

    Samples go to the directory named, events to standard output; with `-` all of it goes there, as a tape.
    """
    if len(sys.argv) != 2:
        sys.exit("usage: python prober.py DIRECTORY | -")
    # Ctrl-C at a terminal reaches every process of the group; when to stop is the runner's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop, uvloop_version = new_loop()
    output = Tape() if sys.argv[1] == "-" else Folder(sys.argv[1])
    prober = Prober(output, loop, uvloop_version)
    gc.collect()
    gc.freeze()
    try:
        loop.run_forever()
    finally:
        prober.log.close()
    # A name lookup that hangs must not keep the process: its threads are left behind.
    os._exit(0)


def new_loop() -> Tuple[asyncio.AbstractEventLoop, Optional[str]]:
    """Give an event loop, uvloop's where it is installed, and uvloop's version."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop(), None
    return uvloop.new_event_loop(), str(uvloop.__version__)


# Clocks


def boot_id() -> str:
    """Give the kernel's id of this boot; empty where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def time_namespace() -> str:
    """Give the time namespace of this process; empty where there is none."""
    try:
        return os.readlink("/proc/self/ns/time")
    except OSError:
        return ""


def slept() -> int:
    """Give how long the machine was suspended since boot, in nanoseconds (0 where nobody counts it).

    Never too much, and too little only by the time this process waits between both clocks: on a busy machine
    many milliseconds. The greatest of several readings leaves that out, unless each of them is held up.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - clock() for _ in range(3))


def held_back() -> Dict[str, int]:
    """Give how long, in nanoseconds, this process waited for a processor and the machine for its host so far.

    `run_delay`: /proc/self/schedstat; `steal`: /proc/stat, of all processors together. What the system does
    not count is left out.
    """
    found = {}
    try:
        with open("/proc/self/schedstat", "rb") as file:
            found["run_delay"] = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        pass
    try:
        with open("/proc/stat", "rb") as file:
            found["steal"] = int(file.readline().split()[8]) * 1000 * MS // os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        pass
    return found


class Alarm:
    """Calls back at an instant of CLOCK_MONOTONIC: never before it, and barely after.

    With a timerfd where the system has one (event loops round their own timers to milliseconds), else with
    the loop's timer. One instant at a time: `set` replaces the last.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: Optional[asyncio.TimerHandle] = None
        self._fd = -1
        if not sys.platform.startswith("linux"):
            return
        system: Any = os  # Python 3.13 and later have timerfd
        if hasattr(system, "timerfd_create"):
            self._fd = system.timerfd_create(
                time.CLOCK_MONOTONIC, flags=system.TFD_NONBLOCK | system.TFD_CLOEXEC
            )
            self._settime = partial(system.timerfd_settime_ns, self._fd, flags=system.TFD_TIMER_ABSTIME)
        else:
            libc = ctypes.CDLL(None, use_errno=True)
            self._fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            self._itimerspec = (ctypes.c_long * 4)()
            self._settime = partial(self._settime_by_libc, libc.timerfd_settime)
        loop.add_reader(self._fd, self._ring)

    def _settime_by_libc(self, settime: Any, initial: int) -> None:
        self._itimerspec[2], self._itimerspec[3] = divmod(initial, 1_000_000_000)
        settime(self._fd, 1, self._itimerspec, None)

    def set(self, at: int) -> None:
        """Ring at `at`, at once where that has passed."""
        if self._fd >= 0:
            self._settime(initial=max(at, 1))
            return
        if self._handle:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0, at - clock()) / 1e9, self._callback)

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._callback()


# What is asked


class Question:
    """What a series asks: where, the bytes of the request, what a right answer is, and who gave it."""

    def __init__(self, spec: Dict[str, Json]) -> None:
        url = urllib.parse.urlsplit(spec["url"])
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("{!r} is not an http(s) URL".format(spec.get("url_shown", spec["url"])))
        self.host: str = url.hostname
        self.port: int = url.port or (443 if url.scheme == "https" else 80)
        self.tls: Optional[ssl.SSLContext] = None
        if url.scheme == "https":
            self.tls = ssl.create_default_context()
            self.tls.set_alpn_protocols(["http/1.1"])
        self.addresses: Optional[List[Tuple[int, Tuple[Any, ...]]]] = None
        """(family, address) to connect to; None where the host is a name, looked up for every connection."""
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(self.host).version == 6 else socket.AF_INET
            self.addresses = [(family, (self.host, self.port))]
        except ValueError:
            pass
        self.secrets: List[str] = spec.get("secrets") or []
        longest = max(map(len, self.secrets), default=0)
        self.reach = 2 * TEXT_KEPT * (1 + longest // len(HIDDEN)) + longest
        """So much of a text is enough to fill what is kept of it, and holds every secret in that whole."""
        self.method: str = spec["method"]
        self.bytes = self._request(spec, url)
        self.status: List[Tuple[int, int]] = [(low, high) for low, high in spec["expect"]["status"]]
        body: Optional[str] = spec["expect"].get("body")
        self.body: Optional[Pattern[str]] = re.compile(body) if body is not None else None
        self.identity: Optional[Dict[str, Json]] = spec.get("identity")
        if self.identity is not None and self.identity["kind"] not in ("body", "json", "header", "regex"):
            raise ValueError("unknown kind of identity {!r}".format(self.identity["kind"]))

    def _request(self, spec: Dict[str, Json], url: urllib.parse.SplitResult) -> bytes:
        body = spec["body"].encode() if spec.get("body") is not None else b""
        host = "[{}]".format(self.host) if ":" in self.host else self.host.encode("idna").decode()
        if url.port:
            host += ":{}".format(url.port)
        headers = {"Host": host, "User-Agent": "ftrun-prober", "Accept": "*/*"}
        if url.username is not None:
            user = "{}:{}".format(
                urllib.parse.unquote(url.username), urllib.parse.unquote(url.password or "")
            )
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        for name, value in (spec.get("headers") or {}).items():
            for known in [each for each in headers if each.lower() == name.lower()]:
                del headers[known]
            if name.lower() not in ("connection", "content-length"):
                headers[name] = value
        if spec.get("body") is not None or self.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(body))
        if spec["connection"] == "new":
            headers["Connection"] = "close"
        path = urllib.parse.quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._")
        if url.query:
            path += "?" + urllib.parse.quote(url.query, safe="/%:@!$&'()*+,;=~-._?")
        lines = ["{} {} HTTP/1.1".format(self.method, path)]
        lines += ["{}: {}".format(name, value) for name, value in headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a method or header holds a line break")
        return "\r\n".join([*lines, "", ""]).encode("utf-8") + body

    def judge(self, status: int, headers: Any, body: bytes) -> Tuple[int, str, str]:
        """Give outcome, who, detail of a whole answer."""
        if not any(low <= status <= high for low, high in self.status):
            outcome = HTTP_5XX if status >= 500 else HTTP_4XX if status >= 400 else WRONG_BODY
            return outcome, "", self.shown("{}: {}".format(status, text_of(body)))
        if self.body is not None and not self.body.search(text_of(body)):
            return WRONG_BODY, "", self.shown("body: " + text_of(body))
        return OK, self.shown(identity(self.identity, headers, body)), ""

    def shown(self, text: str) -> str:
        """Give what is written down of a text: one line of sane length, without secrets."""
        return short(self.hide(text[: self.reach]))

    def hide(self, text: str) -> str:
        """Give a text without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def identity(spec: Optional[Dict[str, Json]], headers: Any, body: bytes) -> str:
    """Give who answered, read from the answer as `spec` says; "" where the answer does not tell."""
    if spec is None:
        return ""
    kind: str = spec["kind"]
    value: Json = spec.get("value")
    if kind == "body":
        return text_of(body)
    if kind == "header":
        return str(headers.get(value, ""))
    if kind == "regex":
        match = re.search(value, text_of(body))
        return "" if match is None else str(match.group(1 if match.re.groups else 0) or "")
    try:
        found = json.loads(body)
        for key in value if isinstance(value, list) else [value]:
            found = found[key]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return found if isinstance(found, str) else json.dumps(found)


def text_of(body: bytes) -> str:
    """Give a body as text."""
    return body.decode("utf-8", "replace")


def short(text: str) -> str:
    """Give text as one line of sane length."""
    return " ".join(text[: 2 * TEXT_KEPT].split())[:TEXT_KEPT]


def classify(error: BaseException) -> Tuple[int, str]:
    """Give the outcome that an error means, and its text. What no network can cause is void."""
    text = short("{}: {}".format(type(error).__name__, error))
    if isinstance(error, ssl.SSLEOFError):
        return EOF, text
    if isinstance(error, ssl.SSLError):
        return TLS, text
    if isinstance(error, EOFError):
        return EOF, short(str(error))
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in VOID_ERRORS:
            return VOID, text
        return ERRORS.get(error.errno, UNREACHABLE), text
    return VOID, "prober: " + text


def classify_lookup(error: BaseException) -> Tuple[int, str]:
    """Give the outcome of a failed lookup. Without a free descriptor the resolver blames the name."""
    try:
        os.close(os.dup(2))
    except OSError as cause:
        return VOID, short("{}, while resolving".format(cause))
    local = not isinstance(error, socket.gaierror) or error.errno in (socket.EAI_MEMORY, socket.EAI_SYSTEM)
    return VOID if local else DNS, short("{}: {}".format(type(error).__name__, error))


class Flow:
    """Stands where aiohttp's parser expects a protocol to slow down; bodies are read at once instead."""

    connected = True
    _reading_paused = False

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Do nothing."""


FLOW = Flow()


# One request, one connection


class Exchange:
    """A request that was sent and has not ended. `sent` is what the file will say: rounded down to us."""

    __slots__ = ("connection", "late", "lookup", "n", "opened", "phase", "sent", "series", "stalled")

    def __init__(self, series: Series, n: int, due: int, now: int, stalled: int) -> None:
        self.series = series
        self.n = n
        self.late = (now - due) // 1000
        self.sent = due + self.late * 1000
        self.stalled = stalled
        """The prober's stalled time until then."""
        self.phase = RESOLVE
        self.opened = False
        self.connection: Optional[Connection] = None
        self.lookup: Optional[asyncio.Future[Any]] = None


class Connection:
    """One connection of a series: it opens, carries an exchange, and idles or waits to be closed.

    `exchange` is None while it idles (reused) or lingers (waits for the server to close it first).
    """

    def __init__(self, series: Series, exchange: Exchange) -> None:
        self.series = series
        self.question = series.question
        self.loop = series.prober.loop
        self.exchange: Optional[Exchange] = exchange
        self.sock: Optional[Union[socket.socket, ssl.SSLSocket]] = None
        self.addresses: Deque[Tuple[int, Tuple[Any, ...]]] = deque()
        self.unsent = b""
        self.writing = False
        self.until = 0
        """When lingering ends."""
        self.parser: Any = None
        self._fresh()
        exchange.connection = self
        exchange.opened = True

    def _fresh(self) -> None:
        self.message: Any = None
        self.payload: Any = None
        self.body = b""

    # Opening

    def open(self) -> None:
        """Begin to resolve and connect."""
        if self.question.addresses is not None:
            self.addresses.extend(self.question.addresses)
            self._connect()
            return
        exchange = self.exchange
        assert exchange is not None
        question = self.question
        exchange.lookup = self.loop.run_in_executor(
            self.series.prober.resolvers,
            partial(socket.getaddrinfo, question.host, question.port, type=socket.SOCK_STREAM),
        )
        exchange.lookup.add_done_callback(self._resolved)

    def _resolved(self, lookup: asyncio.Future[Any]) -> None:
        if lookup.cancelled():
            return
        error = lookup.exception()
        if self.exchange is None:
            return
        if error is not None:
            self.fail(error)
            return
        self.addresses.extend((family, address) for family, _, _, _, address in lookup.result())
        self._connect()

    def _connect(self) -> None:
        """Connect to the next address, one after the other where a name has several."""
        exchange = self.exchange
        assert exchange is not None
        exchange.phase = CONNECT
        family, address = self.addresses.popleft()
        try:
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            self.sock.setblocking(False)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self.sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                self._watch(write=True)
            elif code:
                raise OSError(code, os.strerror(code))
            else:
                self._connected()
        except OSError as error:
            self.fail(error)

    def _watch(self, *, write: bool) -> None:
        """Be called when the socket can be read; `write`: instead, when it can be written."""
        assert self.sock is not None
        fd = self.sock.fileno()
        if write:
            self.loop.add_writer(fd, self._ready)
        else:
            if self.writing:
                self.loop.remove_writer(fd)
            self.loop.add_reader(fd, self._ready)
        self.writing = write

    def _ready(self) -> None:
        """Go on with what the socket was waited for."""
        try:
            exchange = self.exchange
            if self.sock is None:
                return
            if exchange is None:
                self._peer_spoke()
            elif exchange.phase == CONNECT:
                code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                self._connected()
            elif exchange.phase == TLS_PHASE:
                self._handshake()
            elif self.unsent:
                self._write()
            else:
                self._read()
        except Exception as error:
            self.fail(error)

    def _connected(self) -> None:
        assert self.exchange is not None
        assert self.sock is not None
        if self.question.tls is None:
            self._send()
            return
        self.exchange.phase = TLS_PHASE
        if self.writing:
            self.loop.remove_writer(self.sock.fileno())
            self.writing = False
        self.sock = self.question.tls.wrap_socket(
            self.sock,
            server_hostname=self.question.host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._handshake()

    def _handshake(self) -> None:
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(write=False)
        except ssl.SSLWantWriteError:
            self._watch(write=True)
        else:
            self._send()

    # Carrying

    def carry(self, exchange: Exchange) -> None:
        """Send a request on this idle connection."""
        self.exchange = exchange
        exchange.connection = self
        self._fresh()
        try:
            self._send()
        except Exception as error:
            self.fail(error)

    def alive(self) -> bool:
        """Whether the peer has neither closed this idle connection nor said something on it."""
        assert self.sock is not None
        try:
            # An SSLSocket refuses flags, so its socket is looked at from below.
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _send(self) -> None:
        assert self.exchange is not None
        self.exchange.phase = SEND
        if self.parser is None:
            self.parser = HttpResponseParser(
                FLOW,  # type: ignore[arg-type]
                self.loop,
                1 << 30,
                response_with_body=self.question.method != "HEAD",
                read_until_eof=True,
                max_line_size=65536,
                max_field_size=65536,
            )
        self.unsent = self.question.bytes
        self._write()

    def _write(self) -> None:
        assert self.sock is not None
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        except ssl.SSLWantReadError:
            self._watch(write=False)
            return
        assert self.exchange is not None
        if self.unsent or self.writing or self.exchange.opened:  # one that idled is being read already
            self._watch(write=bool(self.unsent))

    def _read(self) -> None:
        """Read what came; the stamp is taken before it is looked at."""
        assert self.sock is not None
        while True:
            try:
                data = self.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            done = clock()
            if not data:
                self._ended_by_peer(done)
                return
            try:
                messages, _, tail = self.parser.feed_data(data)
            except Exception as error:
                self._garbled(error, done)
                return
            self._take(messages)
            if self.payload is not None and self.payload.is_eof():
                self._answered(done, keep=not (tail or self.message.should_close))
                return
            if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
                return

    def _take(self, messages: Any) -> None:
        exchange = self.exchange
        assert exchange is not None
        for message, payload in messages:
            if 100 <= message.code < 200 and message.code != 101:
                continue
            self.message, self.payload = message, payload
            exchange.phase = HEAD
        if self.payload is None:
            return
        if self.payload.exception() is not None:
            raise ProtocolError(self.payload.exception())
        piece = self.payload.read_nowait(-1)
        if piece and len(self.body) < BODY_KEPT:
            self.body += piece[: BODY_KEPT - len(self.body)]
        if piece or self.payload.is_eof():
            exchange.phase = BODY

    def _ended_by_peer(self, done: int) -> None:
        """Tell an answer that ends with its connection from one that was cut short."""
        try:
            self.parser.feed_eof()
            self._take(())
        except Exception as error:
            self.fail(EOFError("closed within the answer: {}".format(type(error).__name__)), done)
            return
        if self.payload is not None and self.payload.is_eof():
            self._answered(done, keep=False, closed=True)
        else:
            self.fail(
                EOFError("closed without an answer" if self.message is None else "closed within the answer"),
                done,
            )

    def _garbled(self, error: Exception, done: int) -> None:
        exchange = self.exchange
        assert exchange is not None
        self.close()
        status = self.message.code if self.message is not None else 0
        exchange.series.end(
            exchange, WRONG_BODY, done, status=status, detail="not HTTP: {}".format(type(error).__name__)
        )

    def _answered(self, done: int, *, keep: bool, closed: bool = False) -> None:
        exchange, message = self.exchange, self.message
        assert exchange is not None
        outcome, who, detail = self.question.judge(message.code, message.headers, self.body)
        self.exchange = None
        self._fresh()
        self.series.end(exchange, outcome, done, status=message.code, who=who, detail=detail)
        if closed:
            self.close(politely=True)
        elif keep and self.series.keeps(self):
            self.series.idle.append(self)
        else:
            self.until = done + LINGER
            self.series.lingering.append(self)

    # Ending

    def _peer_spoke(self) -> None:
        """Something came while no answer was awaited: the connection is of no more use."""
        assert self.sock is not None
        if self.until:
            try:
                if self.sock.recv(65536):
                    return
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError:
                pass
            self.close(politely=True)
        elif not self.alive():
            self.series.drop(self)

    def fail(self, error: BaseException, done: int = 0) -> None:
        """End the exchange for this error; or try the next address of the name."""
        done = done or clock()
        exchange = self.exchange
        if exchange is None:
            self.series.drop(self)
            return
        outcome, detail = classify_lookup(error) if exchange.phase == RESOLVE else classify(error)
        if self.addresses and exchange.phase == CONNECT and outcome != VOID:
            self._discard()
            self._connect()
            return
        self.close()
        exchange.series.end(exchange, outcome, done, detail=detail)

    def close(self, *, politely: bool = False) -> None:
        """Close at once: with a reset, so that no port is left waiting, unless `politely`."""
        self.exchange = None
        if self.sock is not None and not politely:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self._discard()
        self.series.forget(self)

    def _discard(self) -> None:
        if self.sock is None:
            return
        fd = self.sock.fileno()
        self.loop.remove_reader(fd)
        self.loop.remove_writer(fd)
        self.writing = False
        self.sock.close()
        self.sock = None


class ProtocolError(Exception):
    """What came is not HTTP."""


# A series


class Series:
    """One endpoint over one kind of connection: its schedule, its file, its requests and connections."""

    def __init__(self, prober: Prober, spec: Dict[str, Json], t0: int) -> None:
        self.prober = prober
        self.spec = spec
        self.name: str = spec["series"]
        self.probe: str = spec["probe"]
        self.reused: bool = spec["connection"] == "reused"
        if spec["connection"] not in ("new", "reused"):
            raise ValueError("connection is {!r}, not new or reused".format(spec["connection"]))
        self.numerator, self.denominator = (int(part) for part in spec["period_ns"])
        if self.numerator <= 0 or self.denominator <= 0:
            raise ValueError("the period is not positive")
        self.latest = max(self.numerator // self.denominator, LATEST)
        self.timeout = int(spec["timeout_ns"])
        self.max_in_flight = int(spec["max_in_flight"])
        self.question = Question(spec)
        self.t0 = t0
        self.n = 0
        """The next request."""
        self.sending = True
        self.in_flight: Dict[int, Exchange] = {}
        """In the order they were sent, which is the order of their deadlines."""
        self.idle: List[Connection] = []
        """Last in, first out."""
        self.lingering: Deque[Connection] = deque()
        self.capped: Optional[List[int]] = None
        """First due, last due, number of the requests that the cap held back and no line tells of yet."""
        self.buffer = bytearray()
        self.complained = False
        self.file = prober.output.create(spec["file"], self._header())

    def _header(self) -> bytes:
        spec = self.spec
        expect = dict(spec["expect"])
        if expect.get("body"):
            expect["body"] = self.question.hide(expect["body"])[:500]
        head = {
            "run": spec.get("run", ""),
            "probe": self.probe,
            "series": self.name,
            "endpoint": spec["endpoint"],
            "url": self.question.hide(spec.get("url_shown", ""))[:500],
            "connection": spec["connection"],
            "t0_ns": self.t0,
            "period_ns": [self.numerator, self.denominator],
            "timeout_ns": self.timeout,
            "slow_after_ns": spec["slow_after_ns"],
            "blind_after_ns": spec["blind_after_ns"],
            "recover_after_ns": spec["recover_after_ns"],
            "expect": expect,
            "boot_id": self.prober.boot_id,
            "time_namespace": self.prober.time_namespace,
            "prober_sha256": self.prober.sha256,
            "record": RECORD_FIELDS,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        room = HEADER_BYTES - len(MAGIC) - 1
        if len(text) > room:
            raise ValueError("the header of series {!r} does not fit into {} bytes".format(self.name, room))
        return MAGIC + text.ljust(room) + b"\n"

    def due(self, n: int) -> int:
        """Give the instant at which request n is due."""
        return self.t0 + n * self.numerator // self.denominator

    def send_due(self, now: int) -> None:
        """Send what is due by now; what is too late by now is left out, and is missing in the file."""
        oldest = now - self.latest
        if self.due(self.n) < oldest:
            self.n = -(-(oldest - self.t0) * self.denominator // self.numerator)
        while True:
            due = self.due(self.n)
            if due > now:
                return
            self._send(self.n, due)
            self.n += 1

    def _send(self, n: int, due: int) -> None:
        if len(self.in_flight) >= self.max_in_flight:
            if self.capped is None:
                self.capped = [due, due, 0]
            self.capped[1:] = [due, self.capped[2] + 1]
            return
        connection = self._idle_connection()
        now = clock()
        exchange = Exchange(self, n, due, now, self.prober.stalled)
        self.in_flight[n] = exchange
        if connection is not None:
            connection.carry(exchange)
        else:
            Connection(self, exchange).open()

    def _idle_connection(self) -> Optional[Connection]:
        """Take the connection that idles the shortest; those that their peer closed are dropped first."""
        for connection in [each for each in self.idle if not each.alive()]:
            self.drop(connection)
        return self.idle.pop() if self.idle else None

    def keeps(self, connection: Connection) -> bool:
        """Whether a connection that could carry another request is to be kept."""
        return self.reused and self.sending and connection.question is self.question

    def drop(self, connection: Connection) -> None:
        """Close an idle connection that the peer closed, reset or spoke on."""
        if connection in self.idle:
            self.prober.log.write("dropped", probe=self.probe, series=self.name, at_ns=clock())
        connection.close(politely=True)

    def forget(self, connection: Connection) -> None:
        """Hold on to a closed connection no longer."""
        if connection in self.idle:
            self.idle.remove(connection)
        if connection in self.lingering:
            self.lingering.remove(connection)

    def end(
        self, exchange: Exchange, outcome: int, done: int, *, status: int = 0, who: str = "", detail: str = ""
    ) -> None:
        """Put down what became of a request."""
        del self.in_flight[exchange.n]
        took = min(-(-max(0, done - exchange.sent) // 1000), 0xFFFFFFFF)
        log = self.prober.log
        flags = exchange.phase | (OPENED if exchange.opened else 0)
        self.buffer += RECORD.pack(
            exchange.n,
            min(exchange.late, 0xFFFFFFFF),
            took,
            min(status, 0xFFFF),
            log.index("who", who),
            log.index("detail", detail),
            outcome,
            flags,
        )

    def cut(self, exchange: Exchange, outcome: int, detail: str) -> None:
        """End a request that nobody answered."""
        done = clock()
        if exchange.lookup is not None:
            exchange.lookup.cancel()
        if exchange.connection is not None:
            exchange.connection.close()
        self.end(exchange, outcome, done, detail=detail)

    def deadline(self, exchange: Exchange) -> int:
        """Give when a request ends unanswered: its timeout, and the time we stalled ourselves since."""
        return exchange.sent + self.timeout + self.prober.stalled - exchange.stalled

    def overdue(self, now: int) -> List[Exchange]:
        """Give the requests whose deadline is not after `now`."""
        late = []
        for exchange in self.in_flight.values():
            if self.deadline(exchange) > now:
                break
            late.append(exchange)
        return late

    def tick(self, now: int) -> None:
        """Write what ended, tell what was capped, close what lingered long enough."""
        while self.lingering and self.lingering[0].until <= now:
            self.lingering[0].close()
        if self.capped and (
            self.capped[1] - self.capped[0] >= 1000 * MS or self.due(self.n - 1) > self.capped[1]
        ):
            self.tell_capped()
        self.flush()

    def tell_capped(self) -> None:
        """Log the requests that the cap on requests in flight held back."""
        if self.capped:
            start, end, count = self.capped
            self.prober.log.write(
                "capped", probe=self.probe, series=self.name, start_ns=start, end_ns=end, count=count
            )
            self.capped = None

    def flush(self) -> None:
        """Write the records; what a full disk does not take is kept and tried again."""
        if not self.buffer:
            return
        try:
            del self.buffer[: self.file.write(self.buffer)]
        except OSError as error:
            if not self.complained:
                self.complained = True
                complain(self.spec["file"], error)

    def retarget(self, url: str) -> None:
        """Ask another address from now on."""
        self.spec = dict(self.spec, url=url)
        self.question = Question(self.spec)
        self.let_go()

    def let_go(self) -> None:
        """Close the idle connections."""
        for connection in list(self.idle):
            connection.close(politely=True)

    def close(self) -> None:
        """Write what is left and close everything."""
        self.let_go()
        for connection in list(self.lingering):
            connection.close()
        self.tell_capped()
        self.flush()
        self.file.close()


# What it writes


class File:
    """A file of the directory."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: Union[bytes, bytearray]) -> int:
        """Write; give how much of it was taken. Raises OSError."""
        return os.write(self._fd, data)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def complain(file: str, error: OSError) -> None:
    """Say what could not be written; where that is what holds standard error too, nobody is told."""
    try:
        os.write(2, "{}: {}\n".format(file, error).encode())
    except OSError:
        pass


class Folder:
    """Files in a directory, and events on standard output."""

    def __init__(self, path: str) -> None:
        self._path = path

    def create(self, name: str, head: bytes) -> File:
        """Begin a sample file: it is there once its header is whole."""
        path = os.path.join(self._path, name)
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, head)
            os.rename(path + ".new", path)
        except OSError:
            os.close(fd)
            raise
        return File(fd)

    def begin(self, name: str) -> File:
        """Begin a log; raises OSError where there is one already."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return File(os.open(os.path.join(self._path, name), flags, 0o644))

    def say(self, line: bytes) -> None:
        """Write an event; nobody may be reading any more."""
        try:
            os.write(1, line)
        except OSError:
            pass


class Piece:
    """A file on the tape."""

    def __init__(self, tape: Tape, number: int) -> None:
        self._tape = tape
        self._number = number

    def write(self, data: Union[bytes, bytearray]) -> int:
        """Write all of it."""
        self._tape.put(self._number, data)
        return len(data)

    def close(self) -> None:
        """Do nothing: a tape has one end."""


class Tape:
    """All files and events in one stream, in the order in which they are written, on standard output.

    Whoever reads it may stop anywhere and go on from there later. A piece is FRAME and bytes of one file;
    file 0 are the events, and an event `file` tells the name of a number before its first piece.
    """

    def __init__(self) -> None:
        self._files = SAID
        self._buffer = bytearray()

    def create(self, name: str, head: bytes) -> Piece:
        """Begin a sample file."""
        file = self.begin(name)
        file.write(head)
        return file

    def begin(self, name: str) -> Piece:
        """Begin a file."""
        self._files += 1
        line = json.dumps({"event": "file", "number": self._files, "name": name})
        self.say(line.encode() + b"\n")
        return Piece(self, self._files)

    def say(self, line: bytes) -> None:
        """Write an event."""
        self.put(SAID, line)

    def put(self, number: int, data: Union[bytes, bytearray]) -> None:
        """Add a piece; what a full disk does not take is kept, and goes before the next one."""
        self._buffer += FRAME.pack(number, len(data)) + data
        try:
            del self._buffer[: os.write(1, self._buffer)]
        except OSError as error:
            complain("the tape", error)


class Log:
    """prober.jsonl: what explains the records, written at once, before the records that need it."""

    def __init__(self, output: Union[Folder, Tape]) -> None:
        self._file = output.begin("prober.jsonl")
        self._tables: Dict[str, Dict[str, int]] = {"who": {"": 0}, "detail": {"": 0}}
        self._buffer = bytearray()

    def write(self, kind: str, **fields: Json) -> None:
        """Add a line; what a full disk does not take of it is kept, and goes before the next one."""
        self._buffer += json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode() + b"\n"
        try:
            del self._buffer[: self._file.write(self._buffer)]
        except OSError as error:
            complain("prober.jsonl", error)

    def index(self, table: str, text: str) -> int:
        """Give the index of a text in a table; the last one, 65535, stands for all that found no room."""
        indexes = self._tables[table]
        index = indexes.get(text)
        if index is None:
            index = len(indexes)
            if index >= 0xFFFF:
                index, text = 0xFFFF, "(more than 65534 different texts)"
                if text in indexes:
                    return index
            indexes[text] = index
            self.write(table, index=index, text=text)
        return index

    def close(self) -> None:
        """Close the file."""
        self._file.close()


# The process


class Prober:
    """Runs every series of one process, obeys commands, watches its own clock."""

    def __init__(
        self, output: Union[Folder, Tape], loop: asyncio.AbstractEventLoop, uvloop_version: Optional[str]
    ) -> None:
        self.output = output
        self.loop = loop
        self.log = Log(output)
        self.boot_id = boot_id()
        self.time_namespace = time_namespace()
        try:
            with open(__file__, "rb") as file:
                self.sha256 = hashlib.sha256(file.read()).hexdigest()
        except (NameError, OSError):
            self.sha256 = ""
        self.resolvers = concurrent.futures.ThreadPoolExecutor(32)
        self.probes: Dict[str, List[Series]] = {}
        self.stopping: Dict[str, int] = {}
        """Probes that send no more and have requests in flight, and when they sent last."""
        self.leaving = ""
        """Why the process ends, once it does."""
        self.stalled = 0
        """All time lost in stalls so far."""
        self.woke = self.pinged = clock()
        self.slept = slept()
        self.held = held_back()
        self.looked = clock()
        """When `held` was read."""
        self.ticked = 0
        self.commands = b""
        self.heard = 0
        """The last of the numbered commands: who is not sure that one arrived sends it again."""
        self.alarm = Alarm(loop, self._wake)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        facts = {
            "boot_id": self.boot_id,
            "time_namespace": self.time_namespace,
            "python": sys.version.split()[0],
            "aiohttp": aiohttp.__version__,
            "uvloop": uvloop_version,
            "sha256": self.sha256,
        }
        self.log.write("ready", at_ns=clock(), **facts)
        self.say("ready", **facts)
        try:
            loop.add_reader(0, self._listen)
        except OSError:
            # A regular file or /dev/null: nobody will ever command.
            self._leave("no standard input")
        self.alarm.set(clock())

    # Time

    def _wake(self) -> None:
        now = clock()
        gap, self.woke = now - self.woke, now
        if gap <= STALL:
            self._work()
            return
        self.stalled += gap
        self.log.write("stall", start_ns=now - gap, end_ns=now)
        self._look(now, gap)
        # Two turns of the loop hold one whole look at the sockets: what came meanwhile is served first.
        self.loop.call_soon(self.loop.call_soon, self._work)

    def _work(self) -> None:
        now = clock()
        coming = now + TICK
        overdue = False
        for series in self._series():
            if series.sending:
                series.send_due(now)
                coming = min(coming, series.due(series.n))
            overdue = overdue or bool(series.overdue(now))
        if overdue:
            # As after a stall: an answer that came in time may still wait in its socket.
            self.loop.call_soon(self.loop.call_soon, self._expire, now)
        if now - self.ticked >= TICK:
            self.ticked = now
            self._tick(now)
        self.alarm.set(coming)

    def _look(self, now: int, stall: int = 0) -> None:
        """Log who held this process back for the better part of a stall that ended now."""
        held, self.looked = held_back(), now
        for cause, total in held.items():
            grew = total - self.held.get(cause, total)
            if stall and grew > stall // 2:
                self.log.write(cause, start_ns=now - stall, end_ns=now, grew_ns=grew)
        self.held = held

    def _series(self) -> List[Series]:
        return [series for each in self.probes.values() for series in each]

    def _expire(self, now: int) -> None:
        if clock() - self.woke > STALL:
            return  # a stall that is not counted yet: the next wake-up does, and deadlines move
        for series in self._series():
            for exchange in series.overdue(now):
                series.cut(exchange, TIMEOUT, "no end of " + PHASES[exchange.phase])

    def _tick(self, now: int) -> None:
        asleep = slept()
        if asleep - self.slept > SUSPENDED:
            self.log.write("suspend", at_ns=now, grew_ns=asleep - self.slept)
        # It never shrinks: a reading that was held up would make the next one look like a suspend.
        self.slept = max(self.slept, asleep)
        if now - self.looked > SECOND:
            self._look(now)
        if now - self.pinged > LEASE and not self.leaving:
            self._leave("no ping for 60 s")
        for series in self._series():
            series.tick(now)
        for probe in list(self.stopping):
            if not any(series.in_flight for series in self.probes[probe]):
                self._stopped(probe)
        if self.leaving and not self.probes:
            spent = time.process_time_ns()
            self.log.write("bye", at_ns=clock(), why=self.leaving, cpu_ns=spent)
            self.say("bye", why=self.leaving, cpu_ns=spent)
            self.loop.stop()

    # Commands

    def _listen(self) -> None:
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.loop.remove_reader(0)
            self._leave("end of standard input")
            return
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            if line.strip():
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        command: Json = None
        try:
            command = json.loads(line)
            name = command["command"]
            number = command.get("number")
            if number is not None:
                if number <= self.heard:
                    return
                self.heard = number
                self.say("heard", number=number)
            if name == "ping":
                self._ping(command["id"])
            elif name == "start":
                self._start(command["probe"], command["series"])
            elif name == "stop":
                self._stop(command["probe"])
            elif name == "retarget":
                self._retarget(command.get("probe"), command["series"], command["url"])
            elif name == "quit":
                self._leave("quit")
            else:
                raise ValueError("unknown command {!r}".format(name))
        except Exception as error:
            about = command if isinstance(command, dict) else {}
            named = {
                key: about[key] for key in ("command", "probe", "series") if isinstance(about.get(key), str)
            }
            message = "{} is missing".format(error) if isinstance(error, KeyError) else str(error)
            self.say("error", message=message, **named)

    def _ping(self, number: Json) -> None:
        self.pinged = now = clock()
        self.log.write("ping", id=number, p_ns=now)
        self.say("pong", id=number, p_ns=now)

    def _start(self, probe: str, specs: List[Dict[str, Json]]) -> None:
        if self.leaving:
            raise ValueError("the prober is ending: {}".format(self.leaving))
        if probe in self.probes:
            raise ValueError("probe {!r} runs already".format(probe))
        t0 = clock() + LEAD
        made: List[Series] = []
        try:
            for number, spec in enumerate(specs):
                # Series of a probe take turns within a period, so that their requests do not queue up.
                numerator, denominator = (int(part) for part in spec["period_ns"])
                made.append(Series(self, spec, t0 + number * numerator // (denominator * len(specs))))
        except Exception:
            for series in made:
                series.close()
            raise
        self.probes[probe] = made
        self.say(
            "started",
            probe=probe,
            series=[{"series": each.name, "t0_ns": each.t0, "file": each.spec["file"]} for each in made],
        )

    def _stop(self, probe: str) -> None:
        if probe not in self.probes:
            raise ValueError("no probe {!r} runs".format(probe))
        if probe not in self.stopping:
            for series in self.probes[probe]:
                series.sending = False
                series.let_go()
            self.stopping[probe] = clock()

    def _stopped(self, probe: str) -> None:
        at = self.stopping.pop(probe)
        for series in self.probes.pop(probe):
            series.close()
        self.log.write("stop", probe=probe, at_ns=at)
        self.say("stopped", probe=probe, at_ns=at)

    def _retarget(self, probe: Optional[str], name: str, url: str) -> None:
        found = [each for each in self._series() if each.name == name and probe in (None, each.probe)]
        if not found:
            raise ValueError("no series {!r} runs".format(name))
        for series in found:
            series.retarget(url)
            self.log.write("retarget", probe=series.probe, series=name, at_ns=clock())
        self.say("retargeted", series=name, probe=probe)

    def _leave(self, why: str) -> None:
        """Stop every probe, await their deadlines, then end."""
        self.leaving = self.leaving or why
        for probe in self.probes:
            self._stop(probe)

    def _terminate(self) -> None:
        """End at once: what is in flight was cancelled by us, and is evidence of nothing."""
        self._leave("SIGTERM")
        for series in self._series():
            for exchange in list(series.in_flight.values()):
                series.cut(exchange, VOID, "cancelled: SIGTERM")
        self._tick(clock())

    def say(self, event: str, **fields: Json) -> None:
        """Write an event."""
        self.output.say(json.dumps({"event": event, **fields}, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    main()
