"""Regular expressions of class files: the same answers as Python's, without its worst case."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.regexp import compiled
from reconciler.regexp.search import MOST_TEXT

PATHS = ["/usr/bin/java", "/opt/JDK-17/bin/Java", "/usr/sbin/mysqld", "/usr/lib/postgresql/17/bin/postgres", "", "a\nb"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "expression",
    [
        "java",
        "^/usr/(s?bin|lib)/",
        "java$",
        "(?i)jdk-[0-9]+",
        r"/\w+/\d{2}/",
        "[^/]*sql[a-z]?$",
        "^$",
        "",
        "mysqld|postgres",
        r"\bbin\b",
        r"\Bsql\B",
        "a.b",
        r"a\sb",
        "(?:/[a-z]+)+?$",
        "(?P<what>o){2,3}",
        "post(gres){0,1}$",
        r"[\d-]7",
        "[]a]",
        "/{1}usr",
        "j{a",
    ],
)
def test_the_same_answer_as_pythons(expression: str, path: str) -> None:
    assert compiled(expression).search(path) == bool(re.search(expression.replace(r"\z", r"\Z"), path, re.ASCII))


PARTS = st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", "(a|b)", "(ab|)", "^", "$", r"\b", "(a*b)", "(a|ab)"])
MANY = st.tuples(PARTS, st.sampled_from(["", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"])).filter(
    lambda pair: pair[0] not in {"^", "$", r"\b"} or not pair[1]
)


@given(st.lists(MANY, max_size=5), st.text("abc", max_size=8))
def test_any_expression_answers_as_pythons(parts: list[tuple[str, str]], text: str) -> None:
    expression = "".join(part + many for part, many in parts)

    assert compiled(expression).search(text) == bool(re.search(expression, text))


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)*c", ".*.*.*.*.*=", "(.*a){12}$", "a.{400}b"])
def test_no_text_takes_long(expression: str) -> None:
    """Python's would not come back from the first before the end of the world."""
    assert not compiled(expression).search("a" * (MOST_TEXT - 1) + "b" * (expression[-1] != "b"))


def test_posix_classes_and_only_the_first_characters_count() -> None:
    assert compiled("^[[:alpha:]_]+[[:digit:]]$").search("java_7")
    assert not compiled("[[:^alpha:]]").search("java")
    assert compiled(r"^\x2fbin\x{2f}$").search("/bin/")
    assert not compiled("z").search("a" * MOST_TEXT + "z")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("(a", "has a ( without its )"),
        ("a)", "has a ) without its ( at character 2"),
        ("[a", "ends in the middle"),
        ("a\\", "ends in the middle"),
        ("*a", "has a * with nothing to repeat before it, at character 1"),
        ("a**", "repeats a repeat"),
        (r"(a)\1", r"has \1, which is not known here"),
        (r"\pL", r"has \p, which is not known here"),
        ("(?=a)", "none of (?:x)"),
        ("(?<!a)b", "none of (?:x)"),
        ("a(?i)b", "(?i) may only stand first"),
        ("[z-a]", "from small to large"),
        (r"[a-\d]", "from small to large"),
        ("a{3,2}", "{3,2}"),
        ("a{1001}", "1000 at most"),
        ("(a{100}){100}", "is too large"),
        ("(((){1000}){1000}){1000}" + "a" * 600, "is too large"),
        ("[[:letters:]]", "none of alnum, alpha"),
        (r"\xg", r"has a \x without a number"),
        ("a" * 1001, "is longer than 1000 characters"),
        ("(" * 60 + ")" * 60, "deep"),
    ],
)
def test_what_is_not_accepted_is_said(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        compiled(expression)
