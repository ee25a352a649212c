import pytest

from reconciler import logfmt

CASES = {
    "plain": ("web-0", "web-0"),
    "blank": ("a b", '"a b"'),
    "another key": ("a event=forged", '"a event=forged"'),
    "another line": ("a\nevent=forged", '"a\\nevent=forged"'),
    "terminal control": ("\x1b[2J", '"\\u001b[2J"'),
    "right to left": ("\u202egpj", '"\\u202egpj"'),
    "quotes": ('say "x"', '"say \\"x\\""'),
    "a trailing line end": ("a\n", '"a\\n"'),
}


@pytest.mark.parametrize(("value", "shown"), CASES.values(), ids=CASES)
def test_strangers_cannot_forge_lines(value: str, shown: str) -> None:
    assert logfmt.line("event=x", name=value) == f"event=x name={shown}"


def test_nothing_is_left_out_and_much_is_cut() -> None:
    assert logfmt.line("event=x", a=None, b="", c=0) == "event=x c=0"
    assert len(logfmt.text("x" * 5000)) < 1100
