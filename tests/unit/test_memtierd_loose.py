"""JSON as it is typed at a prompt."""

import contextlib
import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engineconfig import AgeConfig, EngineConfig, HeatConfig, MoverConfig
from reconciler.memtierd import config, loose, words

AGE = r"""policy -create age -config {"Tracker":{"Name":"softdirty","Config":"{\"PagesInRegion\":256}"},"Mover":{"IntervalMs":20,"Bandwidth":200},"Cgroups":["/sys/fs/cgroup/foobar"],"IntervalMs":5000,"IdleDurationMs":15000,"IdleNumas":[2,3],"ActiveDurationMs":10000,"ActiveNumas":[0,1]} -start"""  # noqa: E501  as it is typed
HEAT = r"""policy -create heat -config {"Tracker":{"Name":"idlepage","Config":"{\"ScanIntervalMs\":5000}"},"Heatmap":{"HeatMax":0.01,"HeatRetention":0.8,"HeatClasses":4},"Cgroups":["/sys/fs/cgroup/foobar"],"IntervalMs":10000,"HeatNumas":{"0":[2,3],"3":[0,1]}}"""  # noqa: E501


def policy_of(name: str, text: str) -> EngineConfig:
    found = config.read_named(words.POLICIES, name, text).value
    assert isinstance(found, EngineConfig)
    return found


@pytest.mark.parametrize("line", [AGE, HEAT], ids=["age", "heat"])
def test_a_command_line_of_memtierds_documentation(line: str) -> None:
    kept = shlex.split(loose.protected(line))
    eaten = shlex.split(line)
    found = policy_of(kept[2], kept[4])

    assert kept[4] in line
    assert kept[5:] == eaten[5:]
    assert policy_of(kept[2], loose.loose(eaten[4])) == found
    assert found.watcher.cgroups == ("/sys/fs/cgroup/foobar",)
    if isinstance(found.policy, HeatConfig):
        assert found.policy.nodes == ((0, (2, 3)), (3, (0, 1)))
        return
    assert found.policy == AgeConfig(
        interval_ms=5000, idle_ms=15000, idle_nodes=(2, 3), active_ms=10000, active_nodes=(0, 1)
    )
    assert (found.tracker.name, found.tracker.pages_in_region) == ("softdirty", 256)
    assert found.mover == MoverConfig(interval_ms=20, bandwidth_mib=200)


@pytest.mark.parametrize(
    ("line", "protected"),
    [
        ("mover -config {a: 1} -start", "mover -config '{a: 1}' -start"),
        ("mover -config '{a: 1}'", "mover -config '{a: 1}'"),
        ('mover -config "{a: 1}"', 'mover -config "{a: 1}"'),
        ('x {"a":"}"} y', 'x \'{"a":"}"}\' y'),
        ("x {a: {b: 1}} {c} ", "x '{a: {b: 1}}' '{c}' "),
        ("x {a", "x {a"),
        ("x {a}b", "x {a}b"),
        ("x a{b c}", "x a{b c}"),
        ("x \\{a}", "x \\{a}"),
        ('x {"a', 'x {"a'),
        ("", ""),
    ],
)
def test_only_whole_arguments_in_braces_are_protected(line: str, protected: str) -> None:
    assert loose.protected(line) == protected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("{a:1,b:[],c:{d:x y}}", {"a": 1, "b": [], "c": {"d": "x y"}}),
        ("{0:[2,-1],x:true,y:null,z:1.5e3}", {"0": [2, -1], "x": True, "y": None, "z": 1500.0}),
        ('{a:{"PagesInRegion":256}}', {"a": {"PagesInRegion": 256}}),
        ("{dirs:[/sys/fs/cgroup/a,file:/x]}", {"dirs": ["/sys/fs/cgroup/a", "file:/x"]}),
        (' { a : "b,c" } ', {"a": "b,c"}),
    ],
)
def test_quotes_that_were_lost_are_put_back(text: str, value: object) -> None:
    assert json.loads(loose.loose(text)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a}", "a colon is wanted at character 3, where there is '}'"),
        ("{a:1", "a comma or } is wanted at character 5, where there is the end"),
        ("{a:}", "a value is wanted at character 4, where there is '}'"),
        ("{:1}", "a key is wanted at character 2, where there is ':'"),
        ("{a:1} b", "the end is wanted at character 7, where there is 'b'"),
        ("[" * 1000, "nested deeper than 32 levels"),
        ("", "a value is wanted at character 1, where there is the end"),
    ],
)
def test_nonsense_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        loose.loose(text)


@given(st.text(alphabet="{}[]\"'\\:, ab1", max_size=30))
def test_any_text_is_json_or_refused_and_no_line_is_lost(text: str) -> None:
    with contextlib.suppress(ValueError):
        json.loads(loose.loose(text))

    assert [c for c in loose.protected(text) if c not in "'\""] == [c for c in text if c not in "'\""]


@given(
    st.recursive(
        st.integers() | st.booleans() | st.none() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_is_left_as_it_is(value: object) -> None:
    text = json.dumps(value)

    assert loose.loose(text) == text


@given(st.dictionaries(st.text(), st.text() | st.integers(), min_size=1))
def test_a_protected_argument_comes_out_of_the_split_as_it_was(value: dict[str, object]) -> None:
    text = json.dumps(value)

    assert shlex.split(loose.protected(f"policy -config {text} -start")) == ["policy", "-config", text, "-start"]
