"""Ranges of versions, held against what `packaging` makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from pydantic_core import PydanticCustomError

from runner.language.versions import within

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
CLAUSES = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map("".join)


@given(st.lists(CLAUSES, min_size=1, max_size=3).map(", ".join), NUMBERS)
def test_releases_are_compared_as_packaging_does(text, version):
    assert within(text, version) is SpecifierSet(text).contains(version)


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("<2.61", "2.60.0", True),
        ("<2.61", "2.61.0rc1", False),
        ("<3", "3.0.0.dev0", False),
        (">=2.58,<2.61", "2.60.1", True),
        ("<2.61", "nightly", None),
    ],
)
def test_what_is_no_release_is_taken_for_the_one_it_leads_to(text, version, expected):
    assert within(text, version) is expected


@pytest.mark.parametrize("text", ["", "2.61", "<", "<2.61,", "~=2.6", "<2.x", "=2.61", "< 2 . 6"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(PydanticCustomError, match="is not a range of versions"):
        within(text, "2.60.0")
