"""The API server: single requests, and watches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

Json = Any

LIMIT = aiohttp.ClientTimeout(total=10)
QUIET = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Refused(Exception):
    """The API server did not do what it was asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def path(group: str, namespace: str, plural: str, name: str = "") -> str:
    """Give where objects of a kind are found: of a namespace, or of all."""
    root = "/api/v1" if group == "v1" else f"/apis/{group}"
    place = f"{root}/namespaces/{namespace}" if namespace else root
    return f"{place}/{plural}" + (f"/{name}" if name else "")


class Server:
    """The API server, through a `kubernetes.aio` ApiClient."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def ask(
        self, method: str, where: str, body: Json = None, form: str = "application/json", **query: str
    ) -> Json:
        """Make one request and give the object it is answered with."""
        answer = await self._request(method, where, body, form, query, LIMIT)
        return json.loads(await answer.read())

    async def find(self, where: str) -> Json | None:
        """Give an object, or nothing where there is none."""
        try:
            return await self.ask("GET", where)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def watch(self, where: str, **query: str) -> AsyncIterator[Json]:
        """Give all objects that are there, then each as it is after a change; the server ends it after some minutes."""
        # From whatever the server has at hand: from the newest, it would wait for a write of this kind.
        query |= {"watch": "true", "timeoutSeconds": "300", "resourceVersion": "0"}
        answer = await self._request("GET", where, None, "application/json", query, QUIET)
        async with answer.response as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(event["object"].get("code", 0), event["object"].get("message", ""))
                yield event["object"]

    async def _request(
        self, method: str, where: str, body: Json, form: str, query: Mapping[str, str], limit: Any
    ) -> Any:
        request = await self._client.param_serialize(
            method,
            where,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": form},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=limit)
        if not 200 <= answer.status <= 299:
            text = (await answer.read()).decode(errors="replace")
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text
            raise Refused(answer.status, f"{method} {where}: {message}")
        return answer
