"""The trackers' settings."""

import pytest

from reconciler.engineconfig import MEASURED, DamonConfig, FinderConfig, TrackerConfig
from reconciler.model import Severity
from tests.unit.memtierd_texts import age, check_error, engine, policy, read, said


def tracker(name: str, settings: str = "") -> str:
    return policy("stub", f"tracker: {{name: {name}, config: {{{settings}}}}}")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            tracker("idlepage", "pagesinregion: 256, maxcountperregion: 0, scanintervalms: 4000, regionsupdatems: 0"),
            TrackerConfig(
                name="idlepage",
                pages_in_region=256,
                max_count_per_region=0,
                scan_interval_ms=4000,
                regions_update_ms=0,
            ),
        ),
        (tracker("softdirty", "skippageprob: 0, pagemapreadahead: -1"), TrackerConfig(name="softdirty")),
        (tracker("idlepage", "kpageflagsreadahead: 8, bitmapreadahead: 0"), TrackerConfig(name="idlepage")),
        (tracker("mglru", "scaninterval: 1m"), TrackerConfig(name="mglru", scan_interval_ms=60_000)),
        (tracker("stub"), TrackerConfig(name="stub")),
        (tracker("finder"), TrackerConfig(name="finder", regions_update_ms=5000)),
        (
            tracker("finder", "reportaccesses: 2, pagemapbitpresent: true, pagemapbitsoftdirty: false"),
            TrackerConfig(
                name="finder",
                regions_update_ms=5000,
                finder=FinderConfig(accesses=2, present=True, soft_dirty=False),
            ),
        ),
        (tracker("damon"), TrackerConfig(name="damon", damon=MEASURED)),
        (
            tracker("damon", "maxtargetregions: 2000"),
            TrackerConfig(name="damon", damon=DamonConfig(sampling_us=50_000, aggregation_us=10**6, max_regions=2000)),
        ),
        (tracker("damon", "samplingus: 1000"), TrackerConfig(name="damon", damon=DamonConfig(sampling_us=1000))),
        (
            tracker("damon", "regionsupdate: 5s"),
            TrackerConfig(name="damon", damon=DamonConfig(regions_update_us=5 * 10**6)),
        ),
        (tracker("damon", "samplingus: 0, mintargetregions: 0"), TrackerConfig(name="damon", damon=DamonConfig())),
        (
            tracker(
                "damon",
                "sampling: 1ms, aggregation: 1s, regionsupdateus: 5000000, mintargetregions: 20, rangesizemax: 64M,"
                " kdamondslist: [0, 1], nrkdamonds: 4, interface: 1, sysfsregionsmanager: 0, autotune: true,"
                " pageexact: false, pausedamonstat: true, regionsize: 1M, scaninterval: 2s",
            ),
            TrackerConfig(
                name="damon",
                pages_in_region=256,
                scan_interval_ms=2000,
                damon=DamonConfig(
                    sampling_us=1000,
                    aggregation_us=10**6,
                    regions_update_us=5 * 10**6,
                    min_regions=20,
                    range_size_max=64 << 20,
                    kdamonds=(0, 1),
                    nr_kdamonds=4,
                    auto_tune=True,
                    page_exact=False,
                    pause_damon_stat=True,
                ),
            ),
        ),
        (tracker("damon", "filteraddressrangesizemax: -1").replace("stub", "damos", 1), None),
        (
            tracker("auto", "pausedamonstat: true"),
            TrackerConfig(
                damon=DamonConfig(sampling_us=50_000, aggregation_us=10**6, pause_damon_stat=True),
            ),
        ),
        (
            tracker("multi", "trackers: [{name: idlepage}, {name: softdirty}]"),
            TrackerConfig(name="multi", trackers=(TrackerConfig(name="idlepage"), TrackerConfig(name="softdirty"))),
        ),
        (
            tracker(
                "multi",
                "trackers: [{name: idlepage, config: {scaninterval: 20s, regionsize: 64K}},"
                " {name: softdirty, config: {regionsupdate: 3s}}]",
            ),
            TrackerConfig(
                name="multi",
                pages_in_region=16,
                scan_interval_ms=5000,
                regions_update_ms=3000,
                trackers=(
                    TrackerConfig(name="idlepage", scan_interval_ms=20_000, pages_in_region=16),
                    TrackerConfig(name="softdirty", regions_update_ms=3000),
                ),
            ),
        ),
    ],
)
def test_what_is_read(text: str, wanted: TrackerConfig | None) -> None:
    found = read(text)

    assert found.config is not None, found.problems
    assert found.problems == ()
    if wanted is not None:
        assert found.config.tracker == wanted


@pytest.mark.parametrize("value", ["filteraddressrangesizemax: -1", "rangesizemax: unlimited"])
def test_regions_of_any_size_are_believed(value: str) -> None:
    assert engine(tracker("damon", value)).tracker.damon.range_size_max == -1


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (tracker("damom"), 'unknown tracker "damom"', '"damon"'),
        (tracker("auto", "samplingus: 5000"), 'unknown key "samplingus"', ""),
        (tracker("auto", "regionsize: 1K"), 'the text "1K" is too small; the least is 4K', "2MiB"),
        (tracker("auto", "regionsize: 1025MiB"), 'the text "1025MiB" is too large; the most is 1G', "2MiB"),
        (tracker("auto", "pagesinregion: 262145"), "262145 is too large; the most is 262144", "512"),
        (tracker("idlepage", "scanintervalms: 0"), "0 is too small; the least is 1", "5000"),
        (tracker("stub", "pagesinregion: 5"), 'unknown key "pagesinregion"', ""),
        (tracker("damon", "samplingus: 200000"), "samples every 200000 us are rarer than", "ten times"),
        (tracker("damon", "aggregation: 1ms"), "samples every 5000 us are rarer than", "ten times"),
        (tracker("damon", "sampling: 5"), "5 has no unit", 'microseconds are "samplingus"'),
        (tracker("damon", "mintargetregions: 2"), "2 is too small; the least is 3", "10"),
        (tracker("damon", "maxtargetregions: 5"), "at least 10 and at most 5 regions contradict", "at least"),
        (tracker("damon", "kdamondslist: [0, 4], nrkdamonds: 4"), "kdamond 4 is none of the 4", "0 to 3"),
        (tracker("damon", "kdamondslist: 1"), "must be a list of kdamond numbers, not 1", "[0, 1]"),
        (tracker("damon", "interface: 3"), "3 is too large; the most is 2", ""),
        (tracker("damon", "connection: ebpf"), 'the text "ebpf" is neither bpftrace nor perf', "not needed"),
        (tracker("damon", "rangesizemax: 32"), "32 has no unit", "unlimited"),
        (tracker("finder", "pagemapbitpresent: 1"), "must be true or false, not 1", "true"),
        (tracker("finder", "maxcountperregion: 1"), 'unknown key "maxcountperregion"', ""),
        (tracker("multi"), 'the multi tracker\'s "trackers" are missing', "idlepage"),
        (tracker("multi", "trackers: [{name: soft}]"), 'unknown tracker "soft"', ""),
        (tracker("multi", "trackers: {name: idlepage}"), "must be a list, not a mapping", "- name:"),
    ],
)
def test_errors(text: str, message: str, hint: str) -> None:
    check_error(text, message, hint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("connection: bpftrace", '"connection" is not needed: accesses are read from the kernel, without bpftrace'),
        ("connection: perf -F 99", '"connection" is not needed: accesses are read from the kernel, without perf'),
        ("interface: 2", '"interface" 2 is not needed: debugfs has gone from DAMON, its sysfs files are used'),
        (
            "sysfsregionsmanager: 1",
            '"sysfsregionsmanager" is not needed: regions always begin as what the process has mapped',
        ),
    ],
)
def test_how_memtierd_reaches_damon_is_noted(settings: str, message: str) -> None:
    assert said(tracker("damon", settings)) == [("note", message)]


@pytest.mark.parametrize("settings", ["skippageprob: 100", "trackreferenced: true"])
def test_what_does_not_work_in_memtierd_is_warned_of(settings: str) -> None:
    (problem,) = read(tracker("softdirty", settings)).problems

    assert problem.severity is Severity.WARNING
    assert problem.message.endswith("has no effect: it does not work in memtierd, and is not needed here")


@pytest.mark.parametrize("region", ["pagesinregion: 2", "regionsize: 8KiB"])
def test_regions_of_a_few_pages_are_warned_of(region: str) -> None:
    (problem,) = read(age(f"tracker: {{name: auto, config: {{{region}}}}}")).problems

    assert problem.severity is Severity.WARNING
    assert "regions of 2 page(s) cost the daemon 20 bytes for each page" in problem.message


@pytest.mark.parametrize("region", ["pagesinregion: 16", "regionsize: 64KiB", "regionsize: 1GiB"])
def test_regions_between_the_bounds_are_fine(region: str) -> None:
    assert read(age(f"tracker: {{name: auto, config: {{{region}}}}}")).problems == ()
