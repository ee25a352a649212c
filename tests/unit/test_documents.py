"""YAML with positions, from people and from strangers."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import checking, documents
from reconciler.documents import Document, Offset
from reconciler.model import Problem


def good(text: str, offset: Offset | None = None) -> Document:
    document = documents.parse(text, "f.yaml", offset or Offset())
    assert isinstance(document, Document), document
    return document


def bad(text: str) -> tuple[Problem, ...]:
    problems = documents.parse(text, "f.yaml")
    assert isinstance(problems, tuple)
    return problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("a: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: [yes, no, on, off]", {"a": [True, False, True, False]}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 0x10", {"a": 16}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ('{\n\t"a": [1.5, null]}', {"a": [1.5, None]}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 1}\nd:\n  <<: *x\n  c: 2", {"a": {"b": 1, "c": 1}, "d": {"b": 1, "c": 2}}),
        ("x: &x {b: 1}\ny: &y {b: 2, c: 2}\nd: {<<: [*x, *y]}", None),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = good(text).value

    assert found == value if "<<: [" not in text else found["d"] == {"b": 1, "c": 2}


def test_marks_are_those_of_the_keys_and_items() -> None:
    document = good("a:\n  - b: 1\n  -   c\nd/e~: 2\n")

    assert [document.mark(p) for p in ("/a", "/a/0/b", "/a/1", "/d~1e~0")] == [(1, 1), (2, 5), (3, 7), (4, 1)]


def test_an_unknown_place_is_that_of_the_nearest_parent() -> None:
    assert good("a:\n  - b: 1\n").mark("/a/0/b/c/d") == (2, 5)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("o:\n  config: |\n    # note\n    x:\n      y: 1\n", (5, 7)),
        ("o:\n  config: |2\n     \n    x:\n      y: 1\n", (5, 7)),
        ("o: {config: 'x: {y: 1}'}\n", (1, 18)),
        ('o: {config: "{x: {y: 1}}"}\n', (1, 19)),
        ("o:\n  config: >\n    {x:\n    {y: 1}}\n", (2, 3)),  # folded: all we know is where it begins
        ('o:\n  config: "{x:\\n {y: 1}}"\n', (2, 3)),
    ],
)
def test_places_inside_a_text(text: str, place: tuple[int, int]) -> None:
    outer = good(text)
    inner = good(outer.value["o"]["config"], outer.inside("/o/config"))

    if place == (2, 3):
        assert inner.mark("/o/config/x/y")[0] == 2
    else:
        assert inner.mark("/o/config/x/y") == place


def test_places_inside_a_text_inside_a_text() -> None:
    outer = good("a: |\n  b:\n    c: |\n\n      d:\n        e: 1\n")
    middle = good(outer.value["a"], outer.inside("/a"))
    inner = good(middle.value["b"]["c"], middle.inside("/a/b/c"))

    assert inner.mark("/a/b/c/d/e") == (6, 9)


def test_both_duplicates_are_named() -> None:
    problems = bad("a: 1\nb: {c: 1, c: 2}\na: 3\n")

    assert [(p.line, p.column, p.pointer) for p in problems] == [(2, 11, "/b/c"), (3, 1, "/a")]
    assert problems[1].message == 'the key "a" is here twice; the first is in line 1'


def bomb(levels: int, width: int) -> str:
    names = [chr(97 + level) for level in range(levels)]
    lines = [f"{names[0]}: &{names[0]} [{', '.join(['x'] * width)}]"]
    lines += [f"{n}: &{n} [{', '.join([f'*{m}'] * width)}]" for m, n in itertools.pairwise(names)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(9, 9), "aliases expand to more than 20000 values"),
        ("a: &a {b: *a}", "aliases expand to more than 32 levels"),
        ("a: &a\n  <<: *a\n", "aliases expand to more than 32 levels"),
        ("[" * 500_000, "nested deeper than 32 levels"),
        ("- " * 500_000, "nested deeper than 32 levels"),
        ("{a: " * 200_000, "nested deeper than 32 levels"),
        ("- x\n" * 250_000, "more than 20000 values"),
        ("a" * (2**20 + 1), "larger than 1 MiB"),
        ("ä" * (2**19 + 1), "larger than 1 MiB"),
        ("a: 1\n---\nb: 1\n", "more than one YAML document"),
        ("a: \x00", "not valid YAML: control characters are not allowed"),
        ("a: \ud800", "not valid UTF-8"),
        ("a: *b", "undefined alias"),
        ("a: !!python/name:os.system x", "the tag !!python/name:os.system is not allowed"),
        ("a: !mine [1]", "the tag !mine is not allowed"),
        ("a: !!set {b}", "the tag !!set is not allowed"),
        ("a: !!int x", '"x" is no number'),
        ("a: " + "9" * 5000, "is no number"),
        ("a: 1.0e+9999", "is no number"),
        ("a: .nan", "is no number"),
        ("? " + "k" * 500_000 + "\n: [" + "x, " * 9_000 + "]", "a key of 500000 characters"),
        ("[a]: b", "a list or mapping cannot be a key"),
        ("a: {<<: 1}", "<< wants a mapping"),
        ("a: b: c", "not valid YAML: mapping values are not allowed"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    problems = bad(text)

    assert says in problems[0].message
    assert all(problem.where == "f.yaml" and problem.hint for problem in problems)


def test_so_many_problems_are_not_all_told() -> None:
    assert len(bad("".join("a: 1\n" for _ in range(1000)))) == documents.MOST_PROBLEMS


def test_keys_of_json_are_folded_where_it_is_asked_for() -> None:
    document = documents.parse('{"IntervalMs": {"A": 1}}', "f", fold_keys=True)

    assert isinstance(document, Document)
    assert document.value == {"intervalms": {"a": 1}}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("alowswap", 'did you mean "allowswap"?'),
        ("AllowSwap", 'did you mean "allowswap"?'),
        ("allow_swap", 'did you mean "allowswap"?'),
        ("memory.swap.max", 'did you mean "swap.max"?'),
        ("zebra", "known here: allowswap, max, swap.max"),
        ("x" * 100_000, "known here: allowswap, max, swap.max"),
    ],
)
def test_did_you_mean(word: str, hint: str) -> None:
    assert checking.did_you_mean(word, ["allowswap", "max", "swap.max"]) == hint


def test_of_several_forms_the_one_of_the_right_type_is_judged() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "string"}, {"properties": {"b": {"type": "integer"}}}]}}}
    schema["properties"]["a"]["anyOf"][1]["type"] = "object"  # type: ignore[index]

    (problem,) = checking.validate(good("a: {b: x}"), schema)
    (neither,) = checking.validate(good("a: 5"), schema)

    assert (problem.pointer, problem.message) == ("/a/b", 'must be a whole number, not the text "x"')
    assert neither.pointer == "/a"


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab:-[]{}&*!|>'\"#%@,?\n \t<", max_size=60))
def test_any_text_is_a_document_or_problems(text: str) -> None:
    found = documents.parse(text, "f.yaml")

    assert isinstance(found, Document) or (found and all(p.line >= 0 and p.message for p in found))
