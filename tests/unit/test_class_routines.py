"""Routines of the node in class files, and who may have programs started."""

import textwrap

import pytest

from reconciler import classes, classfiles, merged, schemas
from reconciler.classes import ClassText, Loaded
from reconciler.engineconfig import Command, RoutineConfig
from reconciler.model import Severity

PROGRAM = """
    classes:
    - name: c
      memtierdconfig:
        policy: {name: stub}
        routines: [{name: statactions, config: {interval: 1m, intervalcommand: [date]}}]
    """
FORECAST = """
    classes:
    - name: c
      memtierdconfig:
        policy:
          name: heat
          config: {interval: 1m, forecaster: {name: stdio, config: {command: [forecast]}}}
    """
NODE = "routines: [{name: statactions, config: {interval: 1m, pageoutcommand: [date], pageout: 1G}}]"
PIPE = """
    routines:
    - name: statactions
      config: |
        interval: 1m
        intervalcommand: ["stats | grep x > /tmp/y"]
        intervalcommandrunner: memtier-prompt
    """
ASKS = """
    routines:
    - name: statactions
      config: {interval: 1m, intervalcommand: [stats], intervalcommandrunner: memtier}
    """


def load(*contents: str) -> Loaded:
    texts = [ClassText(path=f"/c/{at}.yaml", name=f"{at}.yaml", text=text) for at, text in enumerate(contents)]
    return classes.load(texts, schemas.load())


def routine(word: str) -> str:
    return f"routines:\n- {{name: statactions, config: {{interval: 1s, intervalcommand: [{word}]}}}}\n"


def test_routines_of_all_files_count_in_their_order() -> None:
    loaded = load(routine("one") + "- {name: stub}\n", "classes: []", routine("two"))

    assert loaded.problems == ()
    assert loaded.table.routines == tuple(
        RoutineConfig(interval_ms=1000, command=Command(words=(word,))) for word in ("one", "two")
    )


def test_cat_config_shows_them_with_their_places() -> None:
    loaded = load(routine("one"), "\n" + routine("two"))
    lines = merged.lines(loaded)

    assert [str(line.origin) for line in lines if line.origin] == ["/c/0.yaml:1", "/c/1.yaml:2"]
    assert load("\n".join(line.text for line in lines)).table.routines == loaded.table.routines


@pytest.mark.parametrize("broken", ["routines: 5", "routines: [{name: nothing}]", "routines: [{}]"])
def test_a_mistake_in_them_refuses_the_file(broken: str) -> None:
    (problem,) = load(broken).problems

    assert problem.severity is Severity.ERROR
    assert problem.pointer.startswith("/routines")


def test_a_mistake_in_them_is_told_beside_others() -> None:
    messages = [problem.message for problem in load("classes: [{name: 5}]\nroutines: [{name: nothing}]").problems]

    assert messages == ["must be a class name, not 5", 'unknown routine "nothing"']


@pytest.mark.parametrize("content", [PROGRAM, FORECAST, NODE, PIPE])
def test_programs_are_for_files_of_root(content: str) -> None:
    text = textwrap.dedent(content)
    by_runtime = classfiles.handed(text, "boot")
    by_root = classfiles.handed(text, "boot", of_root=True)

    assert load(text).problems == ()
    assert load(by_root).problems == ()
    (problem,) = load(by_runtime).problems
    assert problem.message.startswith("only files of root may have programs started")
    assert problem.severity is Severity.ERROR


def test_the_runtime_cannot_pretend_to_be_root() -> None:
    pretending = classfiles.handed(textwrap.dedent(PROGRAM), "boot", of_root=True)

    assert load(classfiles.handed(pretending, "boot")).problems != ()


def test_the_engine_itself_may_be_asked_by_everybody() -> None:
    assert load(classfiles.handed(textwrap.dedent(ASKS), "boot")).problems == ()
