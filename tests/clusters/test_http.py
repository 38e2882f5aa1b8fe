"""What clusters share when they are asked over HTTP."""

from __future__ import annotations

import pytest

from runner.clusters.contract import whole


@pytest.mark.parametrize(
    ("url", "path", "asked"),
    [
        ("http://x:1", "/", "http://x:1/"),
        ("http://x:1/", "/a/b", "http://x:1/a/b"),
        ("http://x:1/base", "/", "http://x:1/base"),
        ("http://x:1/base/", "/a", "http://x:1/base/a"),
    ],
)
def test_a_base_and_a_path_make_a_url(url: str, path: str, asked: str) -> None:
    assert whole(url, path) == asked
