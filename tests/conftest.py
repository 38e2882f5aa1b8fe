"""What holds for every test."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, settings

from tests.kubernetes import fixtures
from tests.kubernetes.fixtures import kubernetes  # noqa: F401 (a fixture)
from tests.kubernetes.kuberay import kuberay  # noqa: F401 (a fixture)

# Nothing is timed as a test: on a busy machine a deadline would fail by the machine's fault. And the examples are
# the same each time: what fails fails for whoever changed something, not by chance for whoever comes next.
settings.register_profile(
    "untimed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Leave no event loop to be made in passing: looptime's plugin asks for one before each plain test.

    The one it would be given is never closed, and warnings are errors.
    """
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixtures."""
    fixtures.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests into the order in which they run."""
    fixtures.arrange(items)
