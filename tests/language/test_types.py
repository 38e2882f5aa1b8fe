import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from runner.language.refusal import nearest
from runner.language.types import duration, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("500ms", 0.5), ("2s", 2.0), ("1.5 s", 1.5), ("5m", 300.0), ("1h", 3600.0), ("0s", 0.0), (" 3s ", 3.0)],
)
def test_a_duration_is_a_number_and_a_unit(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "value", [5, 0, 1.5, True, None, "5", "s", "-1s", "1 s 2 s", "1d", "", [], "9" * 400 + "h"]
)
def test_anything_else_is_no_duration(value):
    with pytest.raises(PydanticCustomError) as refused:
        seconds(value)
    assert refused.value.type == "duration"


def test_a_number_without_a_unit_is_told_which_it_could_mean():
    with pytest.raises(PydanticCustomError) as refused:
        seconds(5)
    assert refused.value.message() == "The duration 5 has no unit."
    assert refused.value.context["help"] == "Write 5s for seconds, 5ms for ms."


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_a_duration_is_written_so_that_it_reads_back_the_same(value):
    assert seconds(duration(value)) == value


def test_the_nearest_word_is_offered_and_a_far_one_is_not():
    assert nearest("longst", ["longest", "total"]) == "Did you mean `longest`?"
    assert nearest("xyz", ["longest", "total"]) is None
