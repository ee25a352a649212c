"""`ebbtide explain` of a workload with an engine: its configuration in our own spelling."""

import textwrap

from tests.cli.conftest import Machine
from tests.cli.node import conforms

CLASS = """
    classes:
    - name: roomy
      memtierdconfig:
        policy:
          name: avoid-oom
          config: {startfreeingmemory: 5%, pidwatcher: {name: cgroups, config: {cgroups: [$CGROUP2_ABS_PATH]}}}
        routines:
        - {name: statactions, config: {interval: 1m, intervalcommand: [date, -u]}}
    """


def test_the_engine_is_shown_as_it_could_stand_in_a_class_file(machine: Machine) -> None:
    machine.classes.write_text(textwrap.dedent(CLASS))

    shown = machine.ebbtide("explain", "db-1")

    engine = shown.out[shown.out.index("  engine") :].splitlines()[:5]
    assert engine[0] == (
        "  engine  avoid-oom: interval: 5s, pagetypes: [anon], startfreeingmemory: 5%, stopfreeingmemory: 16%"
    )
    assert engine[1] == "  tracker stub"
    assert engine[2] == "  mover   interval: 10ms, bandwidth: 100MiB"
    assert engine[3] == "  routine interval: 1m, intervalcommand: [date, -u], intervalcommandrunner: exec"
    assert engine[4].startswith("  scope   /")


def test_the_engine_as_json(machine: Machine) -> None:
    machine.classes.write_text(textwrap.dedent(CLASS))

    document = machine.ebbtide("explain", "db-1", "-o", "json").document

    conforms("explain", document)
    assert document["engine"]["memtierdconfig"]["policy"]["name"] == "avoid-oom"
    assert document["engine"]["moves"] is True


def test_who_only_measures_says_so(machine: Machine) -> None:
    machine.classes.write_text("classes: [{name: roomy, memtierdconfig: {policy: {name: stub}}}]")

    shown = machine.ebbtide("explain", "db-1").out

    assert "  engine  stub: measures only; interval: 5s, pagetypes: [anon]\n" in shown
