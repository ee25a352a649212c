"""Tables on wide and narrow pages, colours, and text that must not drive a terminal."""

import io

import pytest

from reconciler.cli import render
from reconciler.cli.render import Column, Page

COLUMNS = [
    Column(title="WORKLOAD", shrinks=True),
    Column(title="STATE", colors=render.STATE_COLORS),
    Column(title="N", right=True),
]
ROWS = [["namespace/a-long-pod-name/container", "converged", "7"], ["x", "drift", "12"]]


def test_columns_are_aligned() -> None:
    assert render.table(Page(), COLUMNS, ROWS) == [
        "WORKLOAD                             STATE       N",
        "namespace/a-long-pod-name/container  converged   7",
        "x                                    drift      12",
    ]


def test_a_narrow_page_shortens_in_the_middle() -> None:
    lines = render.table(Page(width=30), COLUMNS, ROWS)

    assert max(map(len, lines)) <= 30
    assert lines[1] == "namespa…ntainer  converged   7"


def test_a_page_too_narrow_for_everything_keeps_all_columns() -> None:
    assert render.table(Page(width=5), COLUMNS, ROWS)[1].split() == ["name…ner", "converged", "7"]


def test_no_legend_no_heading() -> None:
    assert render.table(Page(legend=False), COLUMNS, ROWS)[0].startswith("namespace/")


def test_colours_do_not_move_columns() -> None:
    plain, painted = (render.table(Page(color=on), COLUMNS, ROWS) for on in (False, True))

    assert render.shown(painted[1]) == plain[1].replace("converged", "\x1b[32mconverged\x1b[0m")


def test_only_our_own_colours_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x1b[31mevil\nname\x00\u202e"
    painted = Page(color=True).paint(evil, render.GREEN)
    render.show([painted, evil, *render.table(Page(legend=False), COLUMNS, [[evil, "drift", "1"]])])

    shown = capsys.readouterr().out.splitlines()
    clean = "�[2J�[31mevil�name��"
    assert shown == [f"\x1b[32m{clean}\x1b[0m", clean, f"{clean}  drift  1"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "wish", "color"),
    [
        (Terminal(), {}, None, True),
        (Terminal(), {"NO_COLOR": "1"}, None, False),
        (Terminal(), {"NO_COLOR": "1"}, True, True),
        (Terminal(), {"TERM": "dumb"}, None, False),
        (Terminal(), {}, False, False),
        (io.StringIO(), {}, None, False),
        (io.StringIO(), {}, True, True),
    ],
)
def test_when_there_are_colours(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, environment: dict[str, str], wish: bool | None, color: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert render.page(color=wish, stream=stream).color is color
