from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.journal.redaction import Secrets, hidden, hidden_in, hidden_lines, named, of_environment, without


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:p4ss@h:80/x", "http://(hidden)@h:80/x"),
        ("ray start --redis-password=abc --port=1", "ray start --redis-password=(hidden) --port=1"),
        ("redis-server --requirepass abc --dir /d", "redis-server --requirepass (hidden) --dir /d"),
        ("Authorization: Bearer abc.def", "Authorization: (hidden)"),
        ("{'Set-Cookie': 'id=1; path=/'}", "{'Set-Cookie': '(hidden)'}"),
        ("  api_key: 'abc'", "  api_key: '(hidden)'"),
        ("HF_TOKEN=hf_abc python x.py", "HF_TOKEN=(hidden) python x.py"),
        ('{"aws_secret_access_key": "abc", "a": 1}', '{"aws_secret_access_key": "(hidden)", "a": 1}'),
        ("headers: {X-Api-Key: abc}", "headers: {X-Api-Key: (hidden)}"),
    ],
)
def test_what_stands_under_the_name_of_a_secret_is_hidden(text: str, shown: str) -> None:
    assert hidden(text) == shown
    assert hidden(shown) == shown


@pytest.mark.timeout(60)  # were it the square of the length, it would be hours
@pytest.mark.parametrize("word", ["x", "x-", "x.", " ", "token", "--token", "token ", "token:\n", "-a"])
def test_a_long_text_takes_no_longer_than_its_length(word: str) -> None:
    text = word * 200_000
    assert hidden(text + " password=abc").endswith(" password=(hidden)")
    assert hidden(text + " password='abc'", code=True).endswith(" password='(hidden)'")


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 512",
        "tokenizer: bert-base",
        "token: '{{ token }}'",
        "password: null",
        "use_secret: true",
        "http://10.1.0.2:8000/a@b",
        "2026-01-01 10:00:00,123 INFO controller 1 -- Replica 44q7diqp is RUNNING: 12 of 12",
        "steps[3].block[0]",
        "Generate one with `ray get-auth-token --generate`.",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hidden(text) == text


def test_in_code_only_what_stands_in_quotes_is_a_value() -> None:
    assert hidden("token = make_token(x)", code=True) == "token = make_token(x)"
    assert hidden("API_KEY = 'abc'", code=True) == "API_KEY = '(hidden)'"
    assert hidden("login(password=password)", code=True) == "login(password=password)"


def test_in_json_the_key_says_it_at_any_depth() -> None:
    assert hidden_in({"env": [{"DB_PASSWORD": "abc", "N": 5}], "tokens": 7, "cookie": ["a", ""]}) == {
        "env": [{"DB_PASSWORD": "(hidden)", "N": 5}], "tokens": 7, "cookie": ["(hidden)", ""],
    }  # fmt: skip
    assert hidden_in("x --token=abc y") == "x --token=(hidden) y"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "token", "b c"]), inner),
)


@given(st.dictionaries(st.sampled_from(["kind", "password", "x"]), json_values))
def test_lines_of_json_stay_json_and_without_secrets_the_same_bytes(value: dict) -> None:
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    shown = hidden_lines(line)
    assert json.loads(shown) == hidden_in(value)
    assert hidden_lines(shown) == shown


def test_lines_that_are_no_json_are_taken_as_text() -> None:
    assert hidden_lines('{"a": 1}\n{half: token=abc\nplain\n') == '{"a": 1}\n{half: token=(hidden)\nplain\n'


def test_of_the_environment_what_looks_like_a_secret_and_is_long_enough() -> None:
    environment = {
        "GITHUB_TOKEN": "ghp_12345678",
        "PASSWORD": "short",
        "PATH": "/usr/bin:/bin",
        "TOKENIZERS_PARALLELISM": "nevernever",
        "MAX_TOKENS": "123456789",
    }
    assert of_environment(environment) == ["ghp_12345678"]


def test_what_a_value_names_a_secret_is_known() -> None:
    value = {
        "env": [{"name": "DB_PASSWORD", "value": "correct horse"}, {"name": "MODE", "value": "production"}],
        "headers": {
            "Authorization": "Bearer abcdefgh",
            "Cookie": "id=12345678a; path=/",
            "Accept": "text/html",
        },
        "endpoints": {"db": "http://me:p%40ssword@h:80/x"},
        "tokens": {"short": "abc", "token": "{{ later }}", "max_tokens": "123456789"},
    }
    assert set(named(value)) == {
        "correct horse",
        *("Bearer abcdefgh", "abcdefgh", "id=12345678a; path=/", "id=12345678a", "12345678a"),
        *("me:p%40ssword", "me:p@ssword", "p@ssword", "bWU6cEBzc3dvcmQ="),
    }


def test_a_secret_that_begins_another_leaves_nothing_of_it() -> None:
    known = Secrets(["abcdefgh"])
    known.learn(["abcdefghijkl", 'say "it"/ä'])
    text = json.dumps(["abcdefghijkl", "abcdefgh", 'say "it"/ä', "say%20%22it%22%2F%C3%A4"])
    assert json.loads(known.hide(text)) == ["(hidden)"] * 4
    assert known.hide("nothing") == "nothing"


def test_words_are_replaced_whole() -> None:
    words = [("/home/me", "~"), ("box", "machine")]
    assert without("/home/me/x /home/mexico box boxes sandbox box.", words) == (
        "~/x /home/mexico machine boxes sandbox machine."
    )
