import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.language.text import DEPTH, LIMIT, Node, Text, excerpt, node_of, parse, plain, read
from tests.language.compiling import Files


def parsed(content: str | bytes) -> tuple[Text, Node | None]:
    raw = content.encode() if isinstance(content, str) else content
    return read("f.yaml", Files({"f.yaml": raw}))


def refused(content: str | bytes) -> list[tuple[int, int, str]]:
    return [(each.line, each.column, each.code) for each in parsed(content)[0].problems]


def value(content: str):
    text, root = parsed(content)
    assert text.problems == []
    assert root is not None
    return plain(root)


def test_scalars_mean_what_yaml_1_2_says():
    assert value(
        "{a: 1, b: -2.5, c: 0x1f, d: 1e3, e: .5, f: 0o17, g: true, h: null, i: ~, j: x, k: 2026-11-22}"
    ) == {
        **dict.fromkeys("hi"),
        **dict(zip("abcdefg", (1, -2.5, 31, 1000.0, 0.5, 15, True), strict=True)),
        **dict(zip("jk", ("x", "2026-11-22"), strict=True)),
    }


def test_quotes_make_text_of_anything():
    assert value("""{a: 'on', b: "1:30", c: '5', d: ''}""") == {"a": "on", "b": "1:30", "c": "5", "d": ""}


def test_a_byte_order_mark_is_no_content():
    assert parsed(b"\xef\xbb\xbfa: 1")[1].value["a"].column == 4


@pytest.mark.parametrize(
    ("word", "code"),
    [
        *(
            (word, "yaml-1.1")
            for word in ("on", "off", "Yes", "NO", "1:30", "12:30:45", "010", "1_000", "0b11")
        ),
        *((word, "number") for word in (".inf", "-.INF", ".nan", "1e999", "9" * 200)),
    ],
)
def test_what_readers_of_yaml_disagree_on_is_refused_with_a_hint(word, code):
    text, _ = parsed(f"a: {word}")
    [problem] = text.problems
    assert (problem.line, problem.column, problem.code) == (1, 4, code)
    assert "quotes" in problem.help


def test_the_same_words_are_refused_as_keys():
    assert refused("on: 1") == [(1, 1, "yaml-1.1")]


def test_a_key_is_text():
    assert refused("1: a\n[x]: b\n") == [(1, 1, "key"), (2, 3, "key")]


def test_a_duplicate_key_names_the_first_one():
    text, _ = parsed("a: 1\nb: 2\na: 3\n")
    [problem] = text.problems
    assert (problem.line, problem.column, problem.code) == (3, 1, "duplicate-key")
    assert problem.message == "`a` stands here twice; first in line 1."


def test_a_merge_joins_the_keys_of_other_mappings():
    assert value("x: &x {p: 1}\ny: &y {q: 2}\nz: {<<: [*x, *y], r: 3}")["z"] == {"r": 3, "p": 1, "q": 2}


@pytest.mark.parametrize(
    "content", ["x: &x {p: 1}\nz:\n  <<: *x\n  p: 2", "x: &x {p: 1}\nz:\n  <<: [*x, *x]", "z:\n\n  <<: [1]"]
)
def test_a_merge_that_hides_a_key_or_merges_no_mapping_is_refused(content):
    assert refused(content) == [(3, 3, "merge")]


def test_an_alias_must_name_an_anchor_that_has_ended():
    assert refused("a: *x") == [(1, 4, "alias")]
    assert refused("a: &a [*a]") == [(1, 8, "alias")]


def test_tags_are_refused():
    assert refused("a: !!python/object/apply:os.system [ls]") == [(1, 4, "tag")]
    assert refused("a: !!int '5'") == [(1, 4, "tag")]


def test_an_alias_bomb_ends_early():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert [code for _, _, code in refused("\n".join(lines))] == ["too-many"]


def test_an_alias_bomb_of_depth_ends_early():
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]
    assert [code for _, _, code in refused("\n".join(lines))] == ["too-deep"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_ends_early(opening):
    assert [code for _, _, code in refused(opening * 100_000)] == ["too-deep"]


def test_the_deepest_nesting_that_is_allowed_is_read():
    assert value("[" * DEPTH + "]" * DEPTH)


def test_a_large_file_is_refused_with_the_limit():
    text, root = parsed(b"a" * 10_000_000)
    assert root is None
    assert text.problems[0].code == "too-large"
    assert "1 MB" in text.problems[0].message
    assert parsed(b"#" + b"a" * (LIMIT - 1))[0].problems[0].code == "empty"


def test_invalid_utf_8_is_refused_where_it_stands():
    text, root = parsed("é: 1\nab: \xe9".encode("latin-1").replace(b"\xe9:", "é:".encode()))
    assert root is None
    assert [(each.line, each.column, each.code) for each in text.problems] == [(2, 5, "encoding")]


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_said_to_be_empty(content):
    assert refused(content) == [(0, 0, "empty")]


def test_a_file_holds_one_document():
    assert refused("a: 1\n---\nb: 2\n") == [(2, 1, "documents")]
    assert value("---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize(
    "content", ["a: [1", "a: b: c", "\tx: 1", "- a\nb: 1", "'abc", "a: @x", "%FOO", "a: *"]
)
def test_what_is_not_yaml_is_refused_at_a_place(content):
    [(line, column, code)] = refused(content)
    assert code == "yaml"
    assert line >= 1
    assert column >= 1


def test_a_control_character_is_named():
    text, _ = parsed("a: 1\nb: \x07")
    assert (text.problems[0].line, text.problems[0].column) == (2, 4)
    assert "U+0007" in text.problems[0].message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (IsADirectoryError(21, "x"), "This is a directory, not a file."),
        (PermissionError(13, "x"), "No permission to read this file."),
        (FileNotFoundError(2, "x"), "There is no such file."),
        (OSError(5, "Input/output error"), "The file cannot be read: Input/output error."),
        (ValueError("embedded null byte"), "'f.yaml' is not a file name."),
    ],
)
def test_a_file_that_cannot_be_read_says_why(error, says):
    class Broken:
        def read(self, path):
            raise error

    text, root = read("f.yaml", Broken())
    assert root is None
    assert [(each.line, each.message) for each in text.problems] == [(0, says)]


def test_an_excerpt_shows_two_lines_before_and_a_caret():
    assert excerpt(["one", "two", "three", "four"], 4, 3).splitlines() == [
        "  2 | two",
        "  3 | three",
        "  4 | four",
        "    |   ^",
    ]


def test_an_excerpt_cuts_long_lines_and_hides_control_characters():
    shown = excerpt(["\x1b[31m", "x" * 500 + "y" + "x" * 500], 2, 501)
    assert "\x1b" not in shown
    row, caret = shown.splitlines()[-2:]
    assert row[caret.index("^")] == "y"
    assert len(row) < 120


# PyYAML writes line breaks of Unicode bare, which reads back as others.
words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(json)
def test_what_yaml_writes_is_read_back(given_value):
    text, root = parsed(yaml.safe_dump(given_value, allow_unicode=True))
    if text.problems:  # some texts that PyYAML leaves bare are numbers to others, and `<<` is a merge to all
        assert {each.code for each in text.problems} <= {"yaml-1.1", "merge", "number", "key"}
    else:
        assert plain(root) == given_value


texts = st.recursive(
    words,
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(words, inner, min_size=1),
    max_leaves=9,
)


@given(texts)
def test_every_key_and_value_stands_where_its_node_says(given_value):
    text, root = parsed(yaml.safe_dump(given_value, allow_unicode=True, default_style='"', width=10**6))

    def check(node: Node) -> None:
        if isinstance(node.value, str):
            assert text.lines[node.line - 1][node.column - 1] == '"'
        for line, column in node.keys.values():
            assert text.lines[line - 1][column - 1] == '"'
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            if isinstance(child, Node):
                check(child)

    if not text.problems:  # a key called `<<` is a merge, quoted or not
        check(root)


@given(
    st.binary(max_size=300) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t<0.1", max_size=200).map(str.encode)
)
def test_no_bytes_make_reading_fail_otherwise(raw):
    text, root = parsed(raw)
    assert (root is not None) or text.problems
    for each in text.problems:
        assert each.render()


@given(json)
def test_a_node_of_a_value_gives_the_value_back(given_value):
    assert plain(node_of(given_value)) == given_value


def test_parse_gives_no_root_for_a_lone_surrogate():
    text = Text("f.yaml")
    assert parse(text, "a: \ud800") is None
    assert text.problems
