"""What the agent is to do: sections, what was set at runtime, and who is left alone."""

import textwrap
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import agentwanted, classes, desired, schemas
from reconciler.agent.memcg_rules import Profiles
from reconciler.agentconfig import (
    AgentTask,
    CompactConfig,
    KataTask,
    Kept,
    MemagentConfig,
    MemcgConfig,
    MemcgOverride,
    MemcgProfile,
    Override,
    PsiConfig,
    ReclaimConfig,
    ReclaimTask,
    SwapConfig,
)
from reconciler.classes import ClassText
from reconciler.model import ClassTable, Desired, Features, Workload

SCHEMAS = schemas.load()
FEATURES = Features(kernel="6.12", page_size=4096, cgroup_mount="/sys/fs/cgroup")


def table(content: str) -> ClassTable:
    text = ClassText(path="/etc/a.yaml", name="a.yaml", text=textwrap.dedent(content))
    loaded = classes.load([text], SCHEMAS)
    assert loaded.problems == ()
    return loaded.table


def container(name: str, class_name: str, **more: Any) -> Workload:
    return Workload(id=name, cgroup=f"/pods/{name}", class_name=class_name, **more)


def resolve(content: str, *workloads: Workload, **more: Any) -> Desired:
    return desired.resolve(table(content), workloads, FEATURES, **more)


def task(content: str, *workloads: Workload, **more: Any) -> AgentTask:
    found = resolve(content, *workloads, **more).agent
    assert found is not None
    return found


def memcg(content: str, *overrides: Override) -> MemcgConfig:
    found = task(content, overrides=overrides).memcg
    assert found is not None
    return found


def override(cgroup: str = "", section: str = "memcg", origin: str = "root", **values: object) -> Override:
    return Override(section=section, values=values, cgroup=cgroup, origin=origin)


# -- sections ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "psi: required",
        "memcg: {disabled: true}",
        "memcg: {disabled: true, cgroups: [{path: /a}]}",
        "compact: {disabled: true}",
        "swap: {}",
        "swap: {enable_guest_swap: false, guest_swap_size_percent: 50}",
        "classes: [{name: c, reclaim: {}}]",
    ],
)
def test_nothing_runs_that_no_file_turns_on(content: str) -> None:
    assert task(content) == AgentTask()


def test_sections_turn_their_parts_on() -> None:
    found = task("{psi: required, memcg: {swap: true}, compact: {}, swap: {enable_guest_swap: true}}")

    assert found.psi == PsiConfig(required=True)
    assert found.memcg == MemcgConfig(profile=MemcgProfile(swap=True))
    assert found.compact == CompactConfig()
    assert found.swap == SwapConfig(enable_guest_swap=True)
    assert dict(found.origins)["memcg.swap"] == "/etc/a.yaml:1"
    assert agentwanted.summary(found) == "memcg, compact, swap"


def test_a_disabled_section_still_stands_for_its_cgroups() -> None:
    found = memcg("memcg: {disabled: true, cgroups: [{path: /a, disabled: false}]}")

    assert (found.profile.disabled, found.cgroups[0].profile.disabled) == (True, False)


def test_a_node_in_observe_mode_has_an_agent_that_observes() -> None:
    found = task("{mode: observe, compact: {}}")

    assert (found.observe, agentwanted.summary(found)) == (True, "compact (observes only)")


def test_an_unreadable_class_file_leaves_the_agent_unknown() -> None:
    assert resolve("compact: {}", uncertain=True).agent is None


# -- at runtime --------------------------------------------------------------------------------------------------------


def test_what_is_set_at_runtime_wins_over_files_and_says_who_did_it() -> None:
    found = task("memcg: {period_secs: 60, swap: false}", overrides=(override(swap=True, pass_bytes=5),))

    assert found.memcg == MemcgConfig(profile=MemcgProfile(period_secs=60, swap=True), pass_bytes=5)
    origins = dict(found.origins)
    assert (origins["memcg.swap"], origins["memcg.period_secs"]) == ("root", "/etc/a.yaml:1")


def test_an_entry_of_a_file_keeps_its_own_keys_and_follows_the_rest() -> None:
    files = "memcg: {cgroups: [{path: /a, swap: false}, {path: /a, numa_id: 1, period_secs: 5}]}"

    found = memcg(files, override(swap=True, period_secs=9.0))

    assert [(one.profile.swap, one.profile.period_secs) for one in found.cgroups] == [(False, 9.0), (True, 5.0)]


def test_a_cgroup_set_at_runtime_begins_with_what_holds_for_it() -> None:
    files = """
        memcg:
          swap: true
          cgroups:
          - {path: /a, no_subdir: true, period_secs: 1}
          - {path: /, numa_id: 0, period_secs: 2}
        """

    found = memcg(files, override("/a/b", swappiness_max=7))

    assert found.cgroups[2:] == (
        MemcgOverride(path="/a/b", numa_id=(0,), profile=MemcgProfile(swap=True, period_secs=2, swappiness_max=7)),
        MemcgOverride(path="/a/b", profile=MemcgProfile(swap=True, swappiness_max=7)),
    )


PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/x"])
ENTRIES = st.builds(
    MemcgOverride,
    path=PATHS,
    numa_id=st.sampled_from([(), (0,), (1,), (0, 1)]),
    no_subdir=st.booleans(),
    profile=st.builds(MemcgProfile, period_secs=st.integers(1, 9).map(float)),
)
CONFIGS = st.lists(ENTRIES, max_size=5, unique_by=lambda one: (one.path, one.numa_id)).map(
    lambda listed: MemcgConfig(cgroups=tuple(listed), profile=MemcgProfile(period_secs=99.0))
)


@given(CONFIGS, PATHS, st.integers(0, 2))
def test_what_is_said_to_hold_is_what_the_part_does(config: MemcgConfig, path: str, node: int) -> None:
    said = [one.profile for one in agentwanted.holding(config, path) if node in one.numa_id or not one.numa_id]

    assert said[0] == Profiles(config).of(path, node)


@given(CONFIGS, PATHS, PATHS, st.integers(0, 2))
def test_one_cgroup_set_at_runtime_changes_it_and_what_follows_it_and_nobody_else(
    config: MemcgConfig, path: str, other: str, node: int
) -> None:
    changed = replace(config, cgroups=agentwanted._with_cgroup(config, override(path, swappiness_max=7)))
    before, after = Profiles(config).of(other, node), Profiles(changed).of(other, node)

    if other == path:
        assert after == replace(before, swappiness_max=7)
    if other != path and not other.startswith(path.rstrip("/") + "/"):
        assert after == before


def test_a_cgroup_that_a_file_names_is_changed_on_all_its_nodes() -> None:
    files = "memcg: {cgroups: [{path: /a}, {path: /a, numa_id: 1, swap: true}]}"

    found = memcg(files, override("/a", disabled=True), override("/a", period_secs=3.0))

    assert [one.profile for one in found.cgroups] == [
        MemcgProfile(disabled=True, period_secs=3),
        MemcgProfile(disabled=True, period_secs=3, swap=True),
    ]


def test_disabled_turns_a_part_off_and_on_again() -> None:
    off = task("{compact: {compact_order: 5}}", overrides=(override(section="compact", disabled=True),))
    on = task("{compact: {compact_order: 5, disabled: true}}", overrides=(override(section="compact", disabled=False),))

    assert (off.compact, on.compact) == (None, CompactConfig(compact_order=5))


@pytest.mark.parametrize("section", ["memcg", "compact"])
def test_without_a_section_only_a_clear_word_turns_it_on(section: str) -> None:
    quiet = task("{}", overrides=(override(section=section, period_secs=5.0),))
    loud = task("{}", overrides=(override(section=section, period_secs=5.0, disabled=False),))

    assert agentwanted.is_off(quiet)
    assert agentwanted.summary(loud) == section


def test_calls_of_one_cgroup_add_up_and_the_later_wins() -> None:
    calls = (override(swap=True, period_secs=1.0), override("/a", swap=True), override(period_secs=2.0, origin="ann"))
    found: tuple[Override, ...] = ()
    for call in calls:
        found = agentwanted.added(found, call)

    assert found == (override("/a", swap=True), override(swap=True, period_secs=2.0, origin="ann"))
    assert agentwanted.without_place(found, "memcg", "") == (override("/a", swap=True),)


# -- workloads ---------------------------------------------------------------------------------------------------------

CLASSES = """
    {memcg: {}, classes: [
      {name: probed, reclaim: {floor: 1MiB}}, {name: kept, reclaim: never},
      {name: looks, mode: observe, reclaim: {}}, {name: plain, allowswap: true}]}
    """


def test_classes_say_who_is_probed_and_who_is_left_alone() -> None:
    workloads = [container("a", "probed", memory_limit=5), *(container(one, one) for one in ("kept", "looks", "plain"))]

    found = task(CLASSES, *workloads)

    assert found.reclaims == (
        ReclaimTask(
            workload="a", name="a", cgroup="/pods/a", config=ReclaimConfig(floor_bytes=1 << 20), memory_limit=5
        ),
        ReclaimTask(workload="looks", name="looks", cgroup="/pods/looks", config=ReclaimConfig(), observe=True),
    )
    assert found.kept == (
        Kept(cgroup="/pods/kept", reason="class kept says reclaim: never"),
        Kept(cgroup="/pods/looks", reason="class looks only observes"),
    )


def test_a_node_that_observes_still_decides_for_its_workloads() -> None:
    found = task("{mode: observe, classes: [{name: c, reclaim: {}}]}", container("a", "c"))

    assert (found.observe, len(found.reclaims), found.kept) == (True, 1, ())


def test_what_the_caller_keeps_is_kept_with_all_below_it() -> None:
    pinned = (Kept(cgroup="/pods", reason="pinned"), Kept(cgroup="/pod", reason="another"))

    found = task(CLASSES, container("a", "probed"), kept=pinned)

    assert found.reclaims == ()
    assert found.kept == tuple(reversed(pinned))


def test_a_workload_that_an_administrator_named_is_managed_whatever_it_is() -> None:
    named = Workload(id="s", cgroup="/system.slice/kubelet.service", class_name="probed", named=True)
    never = Kept(cgroup="/system.slice/kubelet.service", reason="node agent")

    assert task(CLASSES, named, kept=[never]).kept == ()
    assert task(CLASSES, replace(named, class_name=""), kept=[never]).kept == (never,)


def test_a_workload_that_is_already_managed_under_another_name_is_probed_once() -> None:
    twins = [container("a", "probed"), replace(container("b", "probed"), cgroup="/pods/a")]

    assert [one.workload for one in task(CLASSES, *twins).reclaims] == ["a"]


def test_released_workloads_are_left_alone() -> None:
    wanted = resolve(CLASSES, container("a", "probed"), container("b", "probed"))
    assert wanted.agent is not None

    found = agentwanted.without(wanted, wanted.agent, frozenset({"a", "gone"}))

    assert [one.workload for one in found.reclaims] == ["b"]
    assert found.kept == (Kept(cgroup="/pods/a", reason="released by an administrator"),)


def test_the_agent_is_off_when_all_that_it_probed_is_released() -> None:
    wanted = resolve("classes: [{name: c, reclaim: {}}]", container("a", "c"))
    assert wanted.agent is not None

    assert agentwanted.without(wanted, wanted.agent, frozenset({"a"})) == AgentTask()


PODS = """
    classes: [{name: told, memagent: {memcg: {swap: true}}}, {name: looks, mode: observe, memagent: {memcg: {}}}]
    """


def pod(name: str, class_name: str, handler: str = "kata-qemu") -> Workload:
    return container(name, class_name, namespace="ns", pod=name, sandbox=f"5a{name}", runtime_handler=handler)


def test_agents_of_kata_pods_are_told_what_their_class_says() -> None:
    workloads = [pod("a", "told"), pod("b", "looks"), pod("c", "told", ""), pod("d", "none")]

    assert task(PODS, *workloads).katas == (
        KataTask(sandbox="5aa", name="ns/a", config=MemagentConfig(memcg=(("swap", True),))),
    )
    assert task(PODS, pod("b", "looks")) == AgentTask()
    observed = task("mode: observe\n" + textwrap.dedent(PODS), pod("a", "told"))
    assert (observed.observe, len(observed.katas)) == (True, 1)


def test_a_released_pod_is_told_nothing() -> None:
    wanted = resolve(PODS, pod("a", "told"), pod("b", "told"))
    assert wanted.agent is not None

    assert [one.sandbox for one in agentwanted.without(wanted, wanted.agent, frozenset({"a"})).katas] == ["5ab"]


def test_equal_tasks_have_equal_fingerprints_and_others_do_not() -> None:
    one, same, other = (task(f"memcg: {{swap: {text}}}") for text in ("true", "true", "false"))

    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
