"""Serve, asked by HTTP as KubeRay asks it: two seconds for each call."""

from __future__ import annotations

from typing import Any

import aiohttp
import yaml

Json = Any

LIMIT = aiohttp.ClientTimeout(total=2)

APPLICATIONS = "/api/serve/applications/"


class Unanswered(Exception):
    """Serve did not answer in time, or not with a success."""


def session() -> aiohttp.ClientSession:
    """Open connections; names are looked up each time, since heads move."""
    return aiohttp.ClientSession(timeout=LIMIT, connector=aiohttp.TCPConnector(use_dns_cache=False))


class Serve:
    """The proxies and dashboards of all clusters."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def proxy_answers(self, address: str, port: int) -> bool:
        """Whether the proxy on a node calls itself healthy."""
        try:
            async with self._http.get(f"http://{address}:{port}/-/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, ValueError):  # ValueError: no address yet
            return False

    async def applications(self, dashboard: str) -> Json:
        """Ask what is deployed by configuration, and how it is."""
        where = f"http://{dashboard}{APPLICATIONS}"
        try:
            async with self._http.get(where, params={"api_type": "declarative"}) as answer:
                if answer.status // 100 != 2:
                    raise Unanswered(f"GetServeDetails fail: {answer.status} {await answer.text()}")
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            what = "failed to get Serve application statuses from the dashboard"
            raise Unanswered(f"{what}: {error!r}") from error

    async def submit(self, dashboard: str, text: str) -> None:
        """Hand in the configuration."""
        try:
            async with self._http.put(
                f"http://{dashboard}{APPLICATIONS}", json=yaml.safe_load(text) or {}
            ) as answer:
                if answer.status // 100 != 2:
                    raise Unanswered(f"UpdateDeployments fail: {answer.status} {await answer.text()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(f"fail to create / update Serve applications: {error!r}") from error
