"""How a line becomes words and a pipe."""

import shlex
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.memtierd import line
from reconciler.memtierd.line import Line, LineError

JSON = '{"Tracker":{"Name":"softdirty","Config":"{\\"PagesInRegion\\":256}"},"Note":"a } | { b","IdleNumas":[2,3]}'


@pytest.mark.parametrize(
    ("text", "words", "pipe"),
    [
        ("", (), ""),
        ("   ", (), ""),
        ("# Start recording raw memory access events.", (), ""),
        ("stats", ("stats",), ""),
        ("  pages\t-pid  42 \n", ("pages", "-pid", "42"), ""),
        ("stats | grep accessed", ("stats",), "grep accessed"),
        ("stats|grep a|wc -l", ("stats",), "grep a|wc -l"),
        ("tracker -dump raw new | tee -a 'x y' | wc -l", ("tracker", "-dump", "raw", "new"), "tee -a 'x y' | wc -l"),
        ("log -i 'a | b'", ("log", "-i", "a | b"), ""),
        (r"log -i a\|b", ("log", "-i", "a|b"), ""),
        ("log -i ''", ("log", "-i", ""), ""),
        ('log -i ""x', ("log", "-i", "x"), ""),
        ("log -i 'it'\"'\"'s'", ("log", "-i", "it's"), ""),
        (r'log -i "a \"b\" \n"', ("log", "-i", r'a "b" \n'), ""),
        (r"log -i 'a\b'", ("log", "-i", r"a\b"), ""),
        ("log -i a\\", ("log", "-i", "a"), ""),
        (f"policy -create age -config {JSON} -start", ("policy", "-create", "age", "-config", JSON, "-start"), ""),
        (f"policy --config {JSON}|cat", ("policy", "--config", JSON), "cat"),
        (f"policy -config={JSON} -start", ("policy", f"-config={JSON}", "-start"), ""),
        ("policy -config '{\"a\":1}'", ("policy", "-config", '{"a":1}'), ""),
        ("log -i {x", ("log", "-i", "{x"), ""),
        ("| cat", (), "cat"),
    ],
)
def test_split(text: str, words: tuple[str, ...], pipe: str) -> None:
    assert line.split(text) == Line(words=words, pipe=pipe)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log -i 'a", "the quote ' at column 8 never closes"),
        ('log -i "a\\"', 'the quote " at column 8 never closes'),
        ('policy -config {"a":{}', "the brace { at column 16 never closes"),
        ('policy -config {"a}', "the brace { at column 16 never closes"),
    ],
)
def test_what_never_closes(text: str, said: str) -> None:
    with pytest.raises(LineError, match="never closes") as caught:
        line.split(text)

    assert str(caught.value) == said


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=6))
def test_what_a_shell_quotes_is_read_back(words: list[str]) -> None:
    assert line.split(shlex.join(["nop", *words])) == Line(words=("nop", *words))


@given(st.text())
def test_no_line_breaks_it(text: str) -> None:
    with suppress(LineError):
        assert isinstance(line.split(text), Line)
