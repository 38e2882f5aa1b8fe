import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from runner.errors import FtrunError
from runner.language.paths import find, parse

DOCUMENT = {
    "nodes": [{"is_head": True, "state": "ALIVE", "n": 1}, {"is_head": False, "state": "DEAD", "n": None}]
}


def test_a_filter_gives_the_values_that_match_in_order():
    assert find("$.nodes[*].state", DOCUMENT) == ["ALIVE", "DEAD"]
    assert find('$.nodes[?(@.is_head==true && @.state=="ALIVE")].n', DOCUMENT) == [1]
    assert find("$.nothing", DOCUMENT) == []


@pytest.mark.parametrize("path", ["$.[", "$.nodes[?(", "nodes", "", "$ $", "$.a[?(@.b==)]"])
def test_what_is_no_path_is_a_mistake(path):
    with pytest.raises(PydanticCustomError) as refused:
        parse(path)
    assert refused.value.type == "jsonpath"


def test_a_path_that_fails_on_the_data_says_so():
    with pytest.raises(FtrunError, match="fails on the document"):
        find("$.nodes[\\n]", DOCUMENT)  # sorts by n, which is a number here and null there


@given(st.text(alphabet="$.[]()?@=!<>&*'\"ab01 `~,:", max_size=30).map("$".__add__))
def test_no_text_makes_a_path_fail_otherwise(path):
    try:
        find(path, DOCUMENT)
    except (PydanticCustomError, FtrunError):
        pass
