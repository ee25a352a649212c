"""Whose memory."""

import pytest

from reconciler.engineconfig import FilterConfig, WatcherConfig
from tests.unit.memtierd_texts import OWN, age, check_error, engine


def watcher(name: str, settings: str = "") -> str:
    return age(f"pidwatcher: {{name: {name}, config: {{{settings}}}}}")


def filtered(*filters: str) -> str:
    return watcher("filter", f"source: {{name: proc}}, filters: [{', '.join(filters)}]")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (watcher("cgroups"), WatcherConfig(cgroups=OWN)),
        (
            watcher("cgroups", "cgroups: [/a, /b], intervalms: 2000"),
            WatcherConfig(cgroups=("/a", "/b"), interval_ms=2000),
        ),
        (watcher("proc", "interval: 1s"), WatcherConfig(name="proc", interval_ms=1000)),
        (watcher("pidlist", "pids: [77, 5, 77]"), WatcherConfig(name="pidlist", pids=(77, 5))),
        (watcher("stub"), WatcherConfig(name="stub")),
        (
            filtered("{procexeregexp: 'redis-server$', minvmrsskb: 1024}", "{minvmsize: 1G, minprivatedirty: 1.5M}"),
            WatcherConfig(
                name="filter",
                source=WatcherConfig(name="proc"),
                filters=(
                    FilterConfig(exe_regexp="redis-server$", min_vm_rss_kb=1024),
                    FilterConfig(min_vm_size_kb=1 << 20, min_private_dirty_kb=1536),
                ),
            ),
        ),
        (
            filtered(
                "{and: [{procexeregexp: a}, {or: [{procexeregexp: b}, {procexeregexp: c}]}], not: {minvmsizekb: 9}}"
            ),
            WatcherConfig(
                name="filter",
                source=WatcherConfig(name="proc"),
                filters=(
                    FilterConfig(
                        all_of=(
                            FilterConfig(exe_regexp="a"),
                            FilterConfig(any_of=(FilterConfig(exe_regexp="b"), FilterConfig(exe_regexp="c"))),
                        ),
                        none_of=(FilterConfig(min_vm_size_kb=9),),
                    ),
                ),
            ),
        ),
    ],
)
def test_what_is_read(text: str, wanted: WatcherConfig) -> None:
    assert engine(text).watcher == wanted


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (watcher("cgroup"), 'unknown pidwatcher "cgroup"', '"cgroups"'),
        (watcher("cgroups", "cgroups: /a"), 'must be a list of texts, not the text "/a"', "cgroups: ["),
        (watcher("cgroups", "cgroups: [/a/../b]"), "is no absolute directory", "/sys/fs/cgroup/"),
        (watcher("cgroups", "cgroups: [$CGROUP2_ABS_PATH2]"), "is no absolute directory", "$CGROUP2_ABS_PATH"),
        (watcher("cgroups", "pids: [1]"), 'unknown key "pids"', ""),
        (watcher("pidlist"), 'the "pids" are missing', "pids: [1234]"),
        (watcher("pidlist", "pids: [0]"), "0 is no process id; the least is 1", "[1234]"),
        (watcher("pidlist", "pids: [true]"), "must be a list of process ids, not a list with true", "[1234]"),
        (watcher("filter"), 'the filter\'s "source" is missing', "proc"),
        (watcher("filter", "source: {name: proc}, filters: []"), "no process would pass", "procexeregexp"),
        (filtered("{}"), "an empty filter lets every process pass", ".*"),
        (filtered("{procexeregexp: '('}"), "is no regular expression", "redis"),
        (filtered("{exeregexp: x}"), 'unknown key "exeregexp"', "procexeregexp"),
        (filtered("{not: [{procexeregexp: x}]}"), "must be a mapping", ""),
        (filtered("{minvmrss: 100}"), "100 has no unit", "100M"),
    ],
)
def test_errors(text: str, message: str, hint: str) -> None:
    check_error(text, message, hint)
