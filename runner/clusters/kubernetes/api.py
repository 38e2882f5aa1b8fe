"""The API server: requests, watches, proxies to services and pods, commands in containers. JSON in and out.

Authentication and TLS are `kubernetes.aio`'s; objects stay as the API has them, since its models would cost
more than they tell. The only place that speaks to Kubernetes; what it refuses becomes a sentence here.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner import clock
from runner.clusters.contract import Answer, Completed
from runner.errors import CannotRun, ClusterError, Unreachable

if TYPE_CHECKING:
    import aiohttp

Json = Any
Object = Mapping[str, Json]

PATIENCE = 10.0
"""Seconds that a request may take."""

STANDSTILL = 60.0
"""Seconds that a server which has answered before may stand still, as one that is restarted does."""

AGAIN = 1.0
"""Seconds until what found no answer is asked again."""

REPEATABLE = ("GET", "PATCH", "DELETE")
"""What may be asked twice: ftrun's patches say how things shall be, and its deletions may name a UID."""

BUSY = (429, 503, 504)
"""Statuses of a server that has done nothing, or does not know whether it has."""

SILENCE = 100.0
"""Seconds without a word after which a watch counts as broken: the server says something every minute."""

WATCHED = 290
"""Seconds after which the server ends a watch by itself; it goes on from where it was."""

MANAGER = "ftrun"
"""Who owns the fields that are applied."""

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

STDIN, STDOUT, STDERR, ERROR = range(4)
"""Channels of a command's stream."""


class Refused(ClusterError):
    """The API server answered, and did not do it."""

    def __init__(self, status: int, reason: str, message: str, *, help: str | None = None) -> None:  # noqa: A002
        super().__init__(message, help=help)
        self.status = status
        self.reason = reason


GROUPS = {
    "pods": "v1", "services": "v1", "configmaps": "v1", "secrets": "v1", "events": "v1", "nodes": "v1",
    "namespaces": "v1", "persistentvolumeclaims": "v1", "deployments": "apps/v1",
    "endpointslices": "discovery.k8s.io/v1", "leases": "coordination.k8s.io/v1",
    "networkpolicies": "networking.k8s.io/v1", "rayservices": "ray.io/v1", "rayclusters": "ray.io/v1",
}  # fmt: skip
"""The group and version of each kind that ftrun knows, by its plural."""


def place(plural: str, namespace: str | None = None, name: str = "") -> str:
    """Give where objects of a kind are found: in a namespace, or of the whole cluster."""
    group = GROUPS[plural]
    root = "/api/v1" if group == "v1" else f"/apis/{group}"
    inside = f"{root}/namespaces/{namespace}" if namespace else root
    return f"{inside}/{plural}" + (f"/{quote(name)}" if name else "")


def door(plural: str, namespace: str, name: str, port: int) -> str:
    """Give the door through which the API server lets one ask a port of `services` or `pods`."""
    return f"{place(plural, namespace)}/{quote(name)}:{port}/proxy"


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, and as whom. Without a context ftrun runs in a pod, with its service account."""

    kubeconfig: str | None = None
    context: str | None = None

    def __str__(self) -> str:
        """Name it for people."""
        return f"of context {self.context}" if self.context else "of the cluster that ftrun runs in"

    async def load(self) -> Json:
        """Give the configuration of the client; raises CannotRun where there is none."""
        # It takes a second to import, and nothing may stand still for that.
        await asyncio.to_thread(import_module, "kubernetes.aio.client")
        from kubernetes.aio.client import Configuration
        from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
        from yaml import YAMLError

        configuration = Configuration()
        configuration.retries = False
        if self.context is None:
            try:
                load_incluster_config(configuration)
            except ConfigException as error:
                raise CannotRun(
                    "The inventory names no context, and ftrun does not run in a pod of a cluster.",
                    help="Write `context: NAME` into it; `kubectl config get-contexts` lists them.",
                ) from error
            return configuration
        where = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        files = [os.path.expanduser(each) for each in where.split(os.pathsep)]
        if not any(map(os.path.exists, files)):
            raise CannotRun(
                f"There is no kubeconfig {where}, so nobody knows the context {self.context}.",
                help="Name its file in the inventory, `kubeconfig: FILE`, or in KUBECONFIG.",
            )
        try:
            await load_kube_config(os.pathsep.join(files), self.context, configuration, persist_config=False)
        except (
            ConfigException,
            YAMLError,
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            OSError,
        ) as error:
            # The library leaves it to its readers to meet what is no kubeconfig.
            raise CannotRun(
                f"There is no context {self.context} that can be used in {where}: {error}.",
                help="`kubectl config get-contexts` lists them.",
            ) from error
        return configuration


class Api:
    """An API server. To be closed."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._configuration: Json = None
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0
        """How often the server was asked; a watch is one."""
        self.commands = 0
        """How many of these started a command in a container."""
        self._met = False
        self._silent: float | None = None
        """Since when it has not answered."""
        self._retired: list[aiohttp.ClientSession] = []
        """Those of credentials that had run out: what was asked by them may still be answered."""

    async def configuration(self) -> Json:
        """Give the client's configuration, loaded once."""
        if self._configuration is None:
            self._configuration = await self.access.load()
        return self._configuration

    async def client(self) -> Json:
        """Give a `kubernetes.aio` client of its own for the same server; the caller closes it."""
        from kubernetes.aio.client import ApiClient

        return ApiClient(await self.configuration())

    async def close(self) -> None:
        """Close its connections. Twice does no harm."""
        self._retire()
        while self._retired:
            await self._retired.pop().close()

    def _retire(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._retired.append(session)

    async def _open(self) -> tuple[aiohttp.ClientSession, str, dict[str, str]]:
        """Give the session, the server's URL and the headers that say who asks."""
        import aiohttp

        configuration = await self.configuration()
        if self._session is None:
            from kubernetes.aio.client.rest import RESTClientObject

            connector = aiohttp.TCPConnector(ssl=RESTClientObject(configuration).ssl_context, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=True, read_bufsize=2**21, proxy=configuration.proxy
            )
        key = await configuration.get_api_key_with_prefix("BearerToken")
        return self._session, configuration.host, {"Authorization": key} if key else {}

    # -- objects

    async def get(self, path: str, **query: str) -> Json:
        """Read an object, or a list."""
        return await self._ask("GET", path, query=query)

    async def find(self, path: str) -> Json | None:
        """Read an object; None where there is none."""
        try:
            return await self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: Object, *, dry: bool = False) -> Json:
        """Make an object in a place, or only see whether it could be (`dry`).

        Raises Refused with 409 where there is one of its name.
        """
        return await self._ask("POST", path, body, query={"dryRun": "All"} if dry else None)

    async def replace(self, path: str, body: Object) -> Json:
        """Replace an object, if it is still the version that was read; raises Refused with 409 else."""
        return await self._ask("PUT", path, body)

    async def apply(self, path: str, body: Object, *, once: bool = False) -> Json:
        """Make an object so, or change it to it, by server-side apply; `once` where the instant counts."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._ask("PATCH", path, body, form=APPLY, query=query, once=once)

    async def patch(self, path: str, body: Object, *, once: bool = False) -> Json:
        """Merge something into an object; `once` where the instant counts."""
        return await self._ask("PATCH", path, body, form=MERGE, once=once)

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace: float | None = None,
        wait: bool = False,
        once: bool = False,
    ) -> bool:
        """Delete an object, if it is (still) there, and the one meant by `uid`; tell whether it was.

        `grace` are the seconds that a pod gets, `wait` lets what it owns go first; `once` where the instant
        counts.
        """
        body: dict[str, Json] = {"propagationPolicy": "Foreground" if wait else "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = round(grace)
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._ask("DELETE", path, body, once=once)
        except Refused as error:
            if error.status != 404 and not (error.status == 409 and uid is not None):
                raise
            return False
        return True

    async def _ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        form: str = "application/json",
        query: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Json:
        """Make a request; what may be asked twice outlasts a server that stands still for a while.

        With `once` it is not: what breaks something must not do so a minute later than it is said to.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": form}
        end = clock.monotonic() + (0.0 if once or method not in REPEATABLE else STANDSTILL)
        while True:
            try:
                answer = await self._known(method, path, headers, content, query)
                if answer.status not in BUSY or not self._again(end):
                    break
            except Unreachable:
                if not self._again(end):
                    raise
            await asyncio.sleep(AGAIN)
        if answer.status not in BUSY:
            self._met, self._silent = True, None
        if not 200 <= answer.status <= 299:
            raise refused(method, path, answer, self.access)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise Unreachable(
                f"What answers {method} {path} at the API server {self.access} speaks no JSON: it is none."
            ) from error

    def _again(self, end: float) -> bool:
        """Tell whether to ask again: not the first time, which finds out whether there is a server.

        Neither past the request's own end, nor where the server has answered nobody for a minute.
        """
        now = clock.monotonic()
        if self._silent is None:
            self._silent = now
        return self._met and now < end and now - self._silent < STANDSTILL

    async def _known(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        query: Mapping[str, str] | None = None,
        *,
        timeout: float = PATIENCE,
    ) -> Answer:
        """Make one request; credentials that have run out are read again once."""
        used = await self.configuration()
        answer = await self.request(method, path, headers=headers, body=body, query=query, timeout=timeout)
        if answer.status != 401:
            return answer
        if self._configuration is used:  # else somebody has just read them again
            self._configuration = None
            self._retire()
        return await self.request(method, path, headers=headers, body=body, query=query, timeout=timeout)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Answer:
        """Make one request as it is; raises Unreachable where no whole answer came in time."""
        import aiohttp
        from yarl import URL

        session, host, who = await self._open()
        self.requests += 1
        url = URL(host + path, encoded=True)
        try:
            async with session.request(
                method,
                url.update_query(query) if query else url,
                headers={**(headers or {}), **who},
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                return Answer(response.status, dict(response.headers), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error, f"{method} {path}") from error

    async def answers(self, timeout: float) -> bool:
        """Tell whether the server answers a question within so many seconds, and not only that it is busy."""
        try:
            return (await self.request("GET", "/version", timeout=timeout)).status not in BUSY
        except Unreachable:
            return False

    def _unreachable(self, error: BaseException, what: str) -> Unreachable:
        why = str(error).rstrip(".") or f"no answer to {what} in time"
        return Unreachable(
            f"The API server {self.access} cannot be reached: {why}.",
            help="Is the cluster up, and does `kubectl --context` reach it?",
        )

    # -- watching

    async def watch(self, path: str, *, since: str, **query: str) -> AsyncIterator[tuple[str, Json]]:
        """Give OPENED, then each change since a version of a list, and bookmarks, until the server ends it.

        Raises Refused (with 410 where the version is too old), Unreachable where the stream broke.
        """
        told = {
            **query,
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCHED),
        }
        async with aclosing(self.follow(path, **told)) as lines:
            async for line in lines:
                if line is None:
                    yield "OPENED", {}
                    continue
                try:
                    event = json.loads(line)
                except ValueError as error:
                    raise self._unreachable(error, f"the watch of {path}") from error
                if event["type"] == "ERROR":
                    said = event["object"]
                    raise Refused(
                        int(said.get("code") or 0),
                        str(said.get("reason") or ""),
                        f"The watch of {path} ended: {said.get('message')}",
                    )
                yield event["type"], event["object"]

    async def follow(self, path: str, **query: str) -> AsyncGenerator[bytes | None, None]:
        """Give None once an answer has begun, then its lines as they come, until the server ends it.

        Raises Refused, or Unreachable where it broke.
        """
        import aiohttp

        session, host, who = await self._open()
        self.requests += 1
        limit = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=SILENCE)
        try:
            async with session.get(host + path, params=query, headers=who, timeout=limit) as response:
                if response.status != 200:
                    answer = Answer(response.status, {}, await response.read())
                    raise refused("GET", path, answer, self.access)
                yield None
                async for line in response.content:
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unreachable(error, f"the stream of {path}") from error

    # -- through the API server

    async def proxied(
        self,
        door: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float,
    ) -> Answer:
        """Ask who stands behind a `door`; raises Unreachable where nobody answers there."""
        where = f"{door}/{path.lstrip('/')}"
        answer = await self.request(method, where, headers=headers, body=body, timeout=timeout)
        if answer.status == 401 and _not_from_there(answer) is not None:
            # Nobody behind the door was asked.
            answer = await self._known(method, where, headers or {}, body, timeout=timeout)
        if (why := _not_from_there(answer)) is not None:
            if answer.status in (401, 403):
                raise refused(method, where, answer, self.access)
            behind = door.removesuffix("/proxy").rpartition("/")[2]
            raise Unreachable(f"{behind} does not answer {method} {path}: {why.rstrip('.')}.")
        return answer

    # -- commands

    async def execute(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout: float
    ) -> Completed:
        """Run a command in a container to its end; raises ClusterError where that takes longer."""
        stream = await self.open(namespace, pod, container, command)
        try:
            async with asyncio.timeout(timeout):
                return await stream.ended()
        except TimeoutError as error:
            said = " ".join(command)[:80]
            raise ClusterError(f"`{said}` in {pod} did not end within {timeout:g} s.") from error
        finally:
            await stream.close()

    async def open(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> Stream:
        """Start a command in a container; its input and output are the stream's."""
        query = [
            ("container", container),
            *(("command", word) for word in command),
            *((name, "true") for name in ("stdin", "stdout", "stderr")),
        ]
        protocols = ("v5.channel.k8s.io", "v4.channel.k8s.io")
        return Stream(await self._socket(namespace, pod, "exec", query, protocols), pod)

    async def dial(self, namespace: str, pod: str, port: int) -> aiohttp.ClientWebSocketResponse:
        """Open a connection to a port of a pod, as port-forward does; messages begin with their channel."""
        query = [("ports", str(port))]
        return await self._socket(namespace, pod, "portforward", query, ("v4.channel.k8s.io",))

    async def _socket(
        self,
        namespace: str,
        pod: str,
        what: str,
        query: Sequence[tuple[str, str]],
        protocols: Sequence[str],
    ) -> aiohttp.ClientWebSocketResponse:
        import aiohttp
        from yarl import URL

        session, host, who = await self._open()
        self.requests += 1
        self.commands += what == "exec"
        url = URL(f"{host}{place('pods', namespace, pod)}/{what}").with_query(query)
        try:
            async with asyncio.timeout(PATIENCE):
                return await session.ws_connect(
                    url,
                    headers=who,
                    protocols=protocols,
                    max_msg_size=2**26,
                    autoclose=True,
                    heartbeat=30,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                message = f"{what} into {pod} is not allowed (status {error.status})."
                raise Refused(error.status, "", message, help=RIGHTS) from error
            raise Unreachable(
                f"No {what} into {pod} is to be had now: the API server says {error.status}."
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error, f"{what} into {pod}") from error


class Stream:
    """A command that runs in a container. It hears the end of its input when the stream is closed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, pod: str) -> None:
        self._socket = socket
        self._pod = pod
        self._lines = bytearray()
        self.stderr = bytearray()
        self.exit_code: int | None = None

    async def write(self, content: bytes) -> None:
        """Write to its input; raises Unreachable where the stream is cut."""
        try:
            await self._socket.send_bytes(bytes([STDIN]) + content)
        except (ConnectionError, RuntimeError) as error:
            raise Unreachable(f"The stream to {self._pod} was cut.") from error

    async def chunks(self) -> AsyncIterator[tuple[int, bytes]]:
        """Give what it writes, by channel, until it ends; raises Unreachable where the stream is cut."""
        import aiohttp

        async for message in self._socket:
            if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                continue
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            if not data:
                continue
            channel, rest = data[0], data[1:]
            if channel == ERROR:
                self.exit_code = ending(rest)
            elif channel == STDERR:
                self.stderr += rest
                yield STDERR, rest
            elif channel == STDOUT and rest:
                yield STDOUT, rest
        if self.exit_code is None:
            raise Unreachable(
                f"The stream from {self._pod} was cut: its container ended, or the connection did."
            )

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the lines of its standard output, without their ends."""
        async for channel, chunk in self.chunks():
            if channel != STDOUT:
                continue
            self._lines += chunk
            while (end := self._lines.find(b"\n")) >= 0:
                line = bytes(self._lines[:end])
                del self._lines[: end + 1]
                yield line

    async def ended(self) -> Completed:
        """Read to its end."""
        out = bytearray()
        async for channel, chunk in self.chunks():
            if channel == STDOUT:
                out += chunk
        assert self.exit_code is not None
        return Completed(self.exit_code, out.decode(errors="replace"), self.stderr.decode(errors="replace"))

    async def close(self) -> None:
        """Cut the stream."""
        await self._socket.close()


RIGHTS = (
    "inventories/kubernetes-rbac.yaml holds the rights that ftrun needs; `ftrun doctor -i` says which lack."
)


def ending(said: bytes) -> int:
    """Give the exit code that the last message of a command's stream tells."""
    status = json.loads(said)
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ClusterError(f"The command could not be run: {str(status.get('message')).rstrip('.')}.")


def _not_from_there(answer: Answer) -> str | None:
    """Tell an answer of the API server's own from one of what it asked for us; give its words."""
    if answer.status < 400:
        return None
    text = answer.body.decode(errors="replace")
    if text.startswith(("error trying to reach service", "Error trying to reach service")):
        return text.strip()
    try:
        status = json.loads(text)
    except ValueError:
        return None
    if isinstance(status, dict) and status.get("kind") == "Status" and status.get("apiVersion") == "v1":
        return str(status.get("message"))
    return None


def refused(method: str, path: str, answer: Answer, access: Access) -> Refused:
    """Say what the API server's refusal means, and what to do."""
    try:
        status = json.loads(answer.body)
        reason, said = str(status.get("reason") or ""), str(status.get("message") or "")
    except (ValueError, AttributeError):
        reason, said = "", answer.body[:300].decode(errors="replace")
    said = said.strip().rstrip(".")
    code = answer.status
    if code == 401:
        return Refused(
            code,
            reason,
            f"The API server {access} does not take the credentials: they are wrong, or have run out.",
            help="Log in again as your provider says; `kubectl --context ... auth whoami` shows who you are.",
        )
    if code == 403 and "exceeded quota" in said:
        return Refused(
            code, "Quota", f"The namespace's quota has no room: {said}.", help="Ask for less, or more."
        )
    if code == 403:
        return Refused(code, reason, f"That is not allowed here: {said}.", help=RIGHTS)
    if code == 404 and not reason:
        if "/ray.io/" in path:
            return Refused(
                code,
                "NoCRD",
                f"The API server {access} knows no RayService: KubeRay's CRDs are not installed.",
                help="Install KubeRay's operator, or choose another context.",
            )
        return Refused(code, "NoKind", f"The API server {access} knows nothing at {path}.")
    return Refused(code, reason, f"The API server {access} refuses {method} {path} ({code}): {said}.")
