"""Ground truth: an HTTP server that goes down at known times and writes down exactly when.

    python server.py PORT 'SCHEDULE'

SCHEDULE is JSON: [{"kind", "after": seconds of up time before it, "lasts": seconds}, ...]. It says
`{"ready": port}` once it listens, then begins; `{"kind", "down", "up"}` (CLOCK_MONOTONIC, nanoseconds) after
each outage, `{"done": true}` after the last one, and serves on until its input ends. It shares no code with
what measures it.

One thread, so that the stamps mean what they say: `down` is taken after the last right answer was written
and before anything breaks, `up` after the last wrong one and before anything is right again. Whenever it
did not run for 20 ms although it should have (the machine was busy elsewhere) it says so as an outage of
kind `hiccup`.

Kinds: `refused` (nobody listens), `reset` (each connection is reset), `http_503`, `stalled` (frozen; late
answers), `blackholed` (frozen, and new connections get no answer from the kernel either, because the queue
of the listening socket is full).
"""

from __future__ import annotations

import json
import select
import selectors
import socket
import struct
import sys
import time

KINDS = ("refused", "reset", "blackholed", "http_503", "stalled")
HICCUP = 20_000_000
LATE_WAKE = 0.002
BODY = b"truth"


def say(**fields: object) -> None:
    """Write one line of truth."""
    print(json.dumps(fields), flush=True)


class Server:
    """Serves any GET or POST without looking at it; goes down by the clock."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.clients: set[socket.socket] = set()
        self.mode = "up"
        self.listener: socket.socket | None = None
        self.seen = time.monotonic_ns()
        self.listen()

    def listen(self) -> None:
        """Listen again, on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(4096)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self.selector.register(listener, selectors.EVENT_READ)
        self.listener = listener

    def look(self, idle: int = 0) -> int:
        """Give the time; say so if it is later than it should be, `idle` after the last look."""
        now = time.monotonic_ns()
        if now - self.seen - idle > HICCUP:
            say(kind="hiccup", down=self.seen, up=now)
        self.seen = now
        return now

    def serve(self, until: int) -> None:
        """Serve until that instant. Time in which it did not run is an outage of its own."""
        while (now := self.look()) < until:
            patience = min(until - now, 5_000_000)
            events = self.selector.select(patience / 1e9)
            self.look(patience)
            for key, _ in events:
                if key.fileobj is sys.stdin:
                    raise EOFError
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.clients:
                    self.answer(key.fileobj)
                self.look()

    def accept(self) -> None:
        """Take all connections that wait."""
        assert self.listener is not None
        while True:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError:
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.clients.add(client)
            if self.mode == "reset":
                self.hang_up(client, reset=True)
            else:
                self.selector.register(client, selectors.EVENT_READ)
                self.answer(client)

    def answer(self, client: socket.socket) -> None:
        """Answer a request; requests are small and come in one piece."""
        try:
            asked = client.recv(65536)
            if asked:
                status = b"503 Service Unavailable" if self.mode == "http_503" else b"200 OK"
                last = b"connection: close" in asked.lower()
                head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n" % (
                    status,
                    len(BODY),
                    b"Connection: close\r\n" if last else b"",
                )
                client.send(head + BODY)
                if not last:
                    return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.hang_up(client)

    def hang_up(self, client: socket.socket, *, reset: bool = False) -> None:
        """Close a connection."""
        self.clients.discard(client)
        if client in self.selector.get_map():
            self.selector.unregister(client)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def fail(self, kind: str, lasts: float) -> None:
        """Be down for so long, and say when that was."""
        assert self.listener is not None
        down = self.look()
        until = down + int(lasts * 1e9)
        if kind in ("refused", "reset"):
            if kind == "refused":
                self.selector.unregister(self.listener)
                self.listener.close()
            for client in list(self.clients):
                self.hang_up(client, reset=True)
        if kind in ("reset", "http_503"):
            self.mode = kind
            self.serve(until)
            up = time.monotonic_ns()
            self.mode = "up"
        elif kind == "refused":
            time.sleep(max(0, until - time.monotonic_ns()) / 1e9)
            self.listen()
            up = time.monotonic_ns()
        elif kind == "blackholed":
            fillers = self.fill_queue()
            time.sleep(max(0, until - time.monotonic_ns()) / 1e9)
            self.listener.listen(4096)
            up = time.monotonic_ns()
            for each in fillers:
                each.close()
        else:
            time.sleep(max(0, until - time.monotonic_ns()) / 1e9)
            up = time.monotonic_ns()
        self.seen = up
        say(kind=kind, down=down, up=up)

    def fill_queue(self) -> list[socket.socket]:
        """Leave no room for connections that wait to be accepted: the kernel then drops what asks for one."""
        assert self.listener is not None
        self.listener.listen(0)
        fillers = []
        while True:
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            fillers.append(filler)
            if not select.select([], [filler], [], 0.001)[1]:
                return fillers


def main() -> None:
    """Serve, go down as scheduled, serve on."""
    server = Server(int(sys.argv[1]))
    server.selector.register(sys.stdin, selectors.EVENT_READ)
    say(ready=server.port)
    try:
        for outage in json.loads(sys.argv[2]):
            server.serve(time.monotonic_ns() + int(outage["after"] * 1e9))
            server.fail(outage["kind"], outage["lasts"])
        say(done=True)
        server.serve(1 << 63)
    except EOFError:
        pass


if __name__ == "__main__":
    main()
