"""The life of containers as the runtime tells it, and the records that come of it."""

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nri import api_pb2 as api
from reconciler.model import (
    ClassTable,
    Features,
    Knob,
    MemoryClass,
    Mode,
    NriSettings,
    OnError,
    Origin,
    Setting,
    WorkloadState,
)
from tests.nri.conftest import BOOT, IDLE, MOUNT, TABLE, Place
from tests.nri.host import Host, container, pod

IDLE_POD = pod({"class.memtierd.nri.io": "swap-idle-data", "kubectl.kubernetes.io/last": "x"})
MIB = 1 << 20


def test_a_container_from_creation_to_removal(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD, limit=64 * MIB)
    host.handshake()

    assert host.create(IDLE_POD, one) == {"memory.swap.max": "max"}
    host.settle()
    record = place.records()["f00d"]
    assert (record.state, record.cgroup, record.name) == (WorkloadState.PENDING, "", "default/web-0/c0")
    assert record.annotations == {"class.memtierd.nri.io": "swap-idle-data"}
    assert (record.memory_limit, record.adjusted) == (64 * MIB, {"memory.swap.max": "max"})
    assert record.runtime_values == {"memory.max": str(64 * MIB), "memory.swap.max": "0"}

    place.cgroup("/kubepods/podweb-0/f00d")
    one.pid = 42
    host.event("StartContainer", IDLE_POD, one)
    host.settle()
    record = place.records()["f00d"]
    assert (record.state, record.cgroup, record.pids) == (WorkloadState.LIVE, "/kubepods/podweb-0/f00d", ())
    assert record.adjusted == {"memory.swap.max": "max"}

    host.event("PostStartContainer", IDLE_POD, one)
    place.cgroup("/kubepods/podweb-0/f00d", populated=False)
    host.event("StopContainer", IDLE_POD, one)
    host.settle()
    assert place.records() == {}
    host.event("RemoveContainer", IDLE_POD, one)
    host.settle()


@pytest.mark.parametrize(
    ("handler", "recorded"), [("kata-clh", "kata-clh"), ("x" * 5000, "x" * 1000 + "..."), ("", "")]
)
def test_the_record_says_which_runtime_handler_the_pod_has(
    host: Host, place: Place, handler: str, recorded: str
) -> None:
    of = pod({"class.memtierd.nri.io": "swap-idle-data"})
    of.runtime_handler = handler
    host.handshake()
    host.create(of, container("f00d", of))
    host.settle()

    assert place.records()["f00d"].runtime_handler == recorded


def test_the_same_told_by_an_old_host(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD, pid=42)
    host.handshake()
    host.create(IDLE_POD, one)
    place.cgroup("/kubepods/podweb-0/f00d")

    host.state_change(api.START_CONTAINER, IDLE_POD, one)
    host.settle()
    assert place.records()["f00d"].state is WorkloadState.LIVE

    host.state_change(api.REMOVE_CONTAINER, IDLE_POD, one)
    host.settle()
    assert place.records() == {}


@pytest.mark.parametrize(
    "method",
    ["RunPodSandbox", "PostUpdatePodSandbox", "StopPodSandbox", "PostCreateContainer", "PostUpdateContainer"],
)
def test_events_that_say_nothing_to_us_are_answered(host: Host, place: Place, method: str) -> None:
    host.handshake()
    host.event(method, IDLE_POD, container("f00d", IDLE_POD))
    host.settle()

    assert place.records() == {}


@pytest.mark.parametrize("event", [0, 1, 2, 5, 9, 12, 13, 14, 99])
def test_state_changes_that_say_nothing_to_us_are_answered(host: Host, event: int) -> None:
    host.handshake()

    assert host.call("StateChange", b"\x08" + bytes([event])).code == 0


def test_an_update_of_a_pod_is_no_container(host: Host) -> None:
    """Its second field is of another type than ours: newer hosts must not be told that their message is broken."""
    host.handshake()
    overhead = api.LinuxResources(memory=api.LinuxMemory(limit=api.OptionalInt64(value=-1))).SerializeToString()

    assert host.call("UpdatePodSandbox", b"\x12" + bytes([len(overhead)]) + overhead).code == 0


def test_a_stop_that_failed_keeps_the_record(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD)
    place.cgroup("/kubepods/podweb-0/f00d")
    host.handshake((IDLE_POD, one))

    host.event("StopContainer", IDLE_POD, one)
    host.settle()

    assert list(place.records()) == ["f00d"]


def test_a_creation_that_failed_leaves_nothing(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD)
    host.handshake()
    host.create(IDLE_POD, one)
    host.event("StopContainer", IDLE_POD, one)
    host.event("RemoveContainer", IDLE_POD, one)
    host.settle()

    assert place.records() == {}


def test_the_end_of_a_pod_is_the_end_of_what_is_left_of_it(host: Host, place: Place) -> None:
    other = pod(name="db-0")
    host.handshake((IDLE_POD, container("f00d", IDLE_POD)), (other, container("beef", other)))

    host.event("RemovePodSandbox", IDLE_POD)
    host.settle()

    assert list(place.records()) == ["beef"]


# -- what CreateContainer adjusts ------------------------------------------------------------------------------------

ADJUSTED: dict[str, tuple[dict[str, str], int, dict[str, str]]] = {
    "no class": ({}, 0, {}),
    "allowed to swap": ({"class.memtierd.nri.io": "swap-idle-data"}, 0, {"memory.swap.max": "max"}),
    "not allowed to swap": ({"class.memtierd.nri.io": "no-swap"}, 0, {"memory.swap.max": "0"}),
    "unmanaged container": ({"class.memtierd.nri.io": "no-swap", "class.memtierd.nri.io/c0": ""}, 0, {}),
    "memory-qos": (
        {"class.memory-qos.nri.io": "bronze"},
        100_000_000,
        {"memory.swap.max": "max", "memory.high": "49999872"},
    ),
    "memory-qos without a limit": ({"class.memory-qos.nri.io": "bronze"}, 0, {}),
    "annotation over class": (
        {"class.memory-qos.nri.io": "bronze", "memory.high.memtierd.nri.io": "50%"},
        64 * MIB,
        {"memory.swap.max": "max", "memory.high": str(32 * MIB)},
    ),
    "unknown class": ({"class.memtierd.nri.io": "nonsense"}, 0, {}),
    "bad value": ({"memory.high.memtierd.nri.io": "lots"}, 0, {}),
    "not for pods": ({"memory.max.memtierd.nri.io": "1G"}, 0, {}),
}


@pytest.mark.parametrize(("annotations", "limit", "unified"), ADJUSTED.values(), ids=ADJUSTED)
def test_adjustments(host: Host, annotations: dict[str, str], limit: int, unified: dict[str, str]) -> None:
    here = pod(annotations)
    host.handshake()

    assert host.create(here, container("f00d", here, limit=limit)) == unified


def with_class(**keys: object) -> ClassTable:
    changed = replace(IDLE, **keys)  # type: ignore[arg-type] # fields of MemoryClass
    return replace(TABLE, classes={changed.name: changed})


OFF = {
    "nri.adjust": replace(TABLE, nri=NriSettings(adjust=False)),
    "node observes": replace(TABLE, mode=Mode.OBSERVE),
    "class observes": with_class(mode=Mode.OBSERVE),
}


@pytest.mark.parametrize("table", OFF.values(), ids=OFF)
def test_adjustments_can_be_left_to_the_daemon(host: Host, place: Place, table: ClassTable) -> None:
    place.with_table(table)
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {}
    host.settle()
    assert place.records()["f00d"].adjusted == {}


@pytest.mark.parametrize(
    "features",
    [
        Features(kernel="", page_size=4096),
        Features(kernel="", page_size=4096, cgroup_mount=MOUNT, knobs=frozenset({"memory.high"})),
    ],
    ids=["no cgroup v2", "no swap accounting"],
)
def test_files_that_this_kernel_lacks_are_never_named(host: Host, place: Place, features: Features) -> None:
    place.view = replace(place.view, features=features)
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {}


def test_a_paused_or_released_node_gets_no_new_adjustments(host: Host, place: Place) -> None:
    host.handshake()
    place.view = replace(place.view, paused=True)
    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {}

    place.view = replace(place.view, paused=False, released=frozenset({"*"}))
    assert host.create(IDLE_POD, container("beef", IDLE_POD)) == {}


def test_the_oom_group_is_left_to_the_daemon_unless_its_original_is_seen(host: Host, place: Place) -> None:
    setting = Setting(knob=Knob.OOM_GROUP, value="0", origin=Origin(file="x"))
    place.with_table(ClassTable(classes={"swap-idle-data": MemoryClass(name="swap-idle-data", settings=(setting,))}))
    one = container("f00d", IDLE_POD)
    host.handshake()

    assert host.create(IDLE_POD, one) == {}
    one.linux.resources.unified["memory.oom.group"] = "1"
    assert host.create(IDLE_POD, one) == {"memory.oom.group": "0"}
    host.settle()
    assert place.records()["f00d"].runtime_values == {"memory.oom.group": "1"}


def test_what_the_container_would_have_had_without_us_is_remembered(host: Host, place: Place) -> None:
    """The daemon sees its cgroup only with our values in it, and could not put back what it never saw."""
    high = Setting(knob=Knob.MEMORY_HIGH, value="4096", origin=Origin(file="x"))
    low = Setting(knob=Knob.MEMORY_LOW, value="8192", origin=Origin(file="x"))
    idle = MemoryClass(name="swap-idle-data", allow_swap=True, settings=(high, low))
    place.with_table(ClassTable(classes={"swap-idle-data": idle}))
    one = container("f00d", IDLE_POD, limit=64 * MIB)
    one.linux.resources.unified["memory.low"] = "1024"
    host.handshake()

    host.create(IDLE_POD, one)
    host.settle()
    originals = {"memory.high": "max", "memory.low": "1024", "memory.swap.max": "0", "memory.max": str(64 * MIB)}
    assert place.records()["f00d"].runtime_values == originals


# -- mistakes --------------------------------------------------------------------------------------------------------


def test_an_unknown_class_starts_unmanaged_with_a_problem(
    host: Host, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    here = pod({"class.memtierd.nri.io": "swap-idel-data\nevent=forged"})
    host.handshake()
    assert host.create(here, container("f00d", here)) == {}
    assert updated(host, container("f00d", here), here=here) == {}
    host.event("StartContainer", here, container("f00d", here))
    host.settle()

    (problem,) = place.records()["f00d"].problems
    assert "there is no class" in problem.message
    lines = [record.getMessage() for record in caplog.records if "event=error" in record.getMessage()]
    assert len(lines) == 1
    assert "\n" not in lines[0]


def test_an_endless_list_of_annotations_costs_no_more_than_a_long_one(host: Host, place: Place) -> None:
    """Whoever may create pods must not fill the disk, or make the runtime wait."""
    unknown = {f"memory.hihg{number:04}.memtierd.nri.io": "x" * 40 for number in range(6000)}
    others = {"class.memtierd.nri.io/other": "x", "note.nri.io": "x", "class.memory-qos.nri.io": "y" * 100_000}
    here = pod(unknown | others | {"class.memtierd.nri.io": "swap-idle-data"})
    here.labels.update({f"label{number}": "x" * 500 for number in range(2000)})
    host.handshake()

    host.create(here, container("f00d", here))
    host.settle()

    record = place.records()["f00d"]
    assert {"class.memtierd.nri.io", "class.memory-qos.nri.io"} <= record.annotations.keys()
    assert not {"class.memtierd.nri.io/other", "note.nri.io"} & record.annotations.keys()
    assert len(record.problems) == 22  # the class, 20 words, and that there are more
    assert Path(record.source).stat().st_size < 200_000


def test_an_unknown_class_can_be_made_to_stop_the_container(host: Host, place: Place) -> None:
    place.with_table(replace(TABLE, nri=NriSettings(on_error=OnError.REJECT)))
    here = pod({"class.memtierd.nri.io": "swap-idel-data"})
    host.handshake()

    answer = host.call("CreateContainer", api.CreateContainerRequest(pod=here, container=container("f00d", here)))

    assert answer.code == 2
    assert "did you mean 'swap-idle-data'" in answer.message
    host.settle()
    assert place.records() == {}


def test_nothing_is_rejected_while_a_class_file_is_broken(host: Host, place: Place) -> None:
    """The class that nobody knows may be in it."""
    place.with_table(replace(TABLE, nri=NriSettings(on_error=OnError.REJECT)))
    place.view = replace(place.view, uncertain=True)
    here = pod({"class.memtierd.nri.io": "in-the-broken-file"})
    host.handshake()

    assert host.create(here, container("f00d", here)) == {}


def test_a_class_file_that_is_corrected_takes_the_problem_away(place: Place) -> None:
    place.with_table(ClassTable())
    plugin = place.plugin()
    request = api.CreateContainerRequest(pod=IDLE_POD, container=container("f00d", IDLE_POD))
    plugin.answer("CreateContainer", request.SerializeToString()).work()
    assert plugin.known["f00d"].problems

    place.with_table(TABLE)

    assert [one.problems for one in plugin.looked_again().write] == [()]
    assert plugin.looked_again().write == ()


@pytest.mark.parametrize("ident", ["", "../../etc/passwd", ".hidden", "a/b", "x" * 1000])
def test_an_id_that_is_no_file_name_is_no_record(host: Host, place: Place, ident: str) -> None:
    here = pod({"class.memtierd.nri.io": "swap-idle-data"})
    one = container("f00d", here)
    one.id = ident
    host.handshake((here, one))
    host.create(here, one)
    host.event("StartContainer", here, one)
    host.event("RemoveContainer", here, one)
    host.settle()

    assert place.records() == {}


def test_a_state_directory_that_cannot_be_written_stops_nothing(host: Host, place: Place) -> None:
    Path(place.state).write_text("in the way")
    host.handshake()

    assert host.create(IDLE_POD, container("f00d", IDLE_POD)) == {"memory.swap.max": "max"}
    host.settle()


def test_a_cgroup_that_is_not_found_is_a_problem(host: Host, place: Place) -> None:
    host.handshake()
    host.event("StartContainer", IDLE_POD, container("f00d", IDLE_POD, pid=42))
    host.settle()

    record = place.records()["f00d"]
    assert (record.state, record.cgroup) == (WorkloadState.LIVE, "")
    assert "cgroup was not found" in record.problems[0].message


def test_without_cgroup_v2_the_first_process_is_recorded(host: Host, place: Place) -> None:
    place.view = replace(place.view, features=Features(kernel="", page_size=4096))
    one = container("f00d", IDLE_POD, pid=42)
    host.handshake()
    host.event("StartContainer", IDLE_POD, one)
    host.settle()
    assert place.records()["f00d"].pids == ()

    host.event("PostStartContainer", IDLE_POD, one)
    host.settle()
    assert place.records()["f00d"].pids == (42,)


# -- UpdateContainer -------------------------------------------------------------------------------------------------


def updated(host: Host, one: api.Container, limit: int = 0, here: api.PodSandbox = IDLE_POD) -> dict[str, str]:
    request = api.UpdateContainerRequest(pod=here, container=one)
    request.linux_resources.memory.limit.value = limit
    request.linux_resources.cpu.shares.value = 0
    done = host.call("UpdateContainer", request)
    assert done.code == 0
    reply = api.UpdateContainerResponse.FromString(done.payload)
    assert all(update.container_id == one.id for update in reply.update)
    return dict(reply.update[0].linux.resources.unified) if reply.update else {}


def test_a_resize_decides_anew_and_repeats_everything(host: Host, place: Place) -> None:
    here = pod({"class.memory-qos.nri.io": "bronze"})
    one = container("f00d", here, limit=64 * MIB)
    host.handshake()
    host.create(here, one)

    assert updated(host, one, 128 * MIB, here) == {"memory.swap.max": "max", "memory.high": str(64 * MIB)}
    host.settle()
    record = place.records()["f00d"]
    assert (record.memory_limit, record.runtime_values["memory.max"]) == (128 * MIB, str(128 * MIB))

    one = container("f00d", here, limit=128 * MIB)  # as the runtime shows it from now on
    assert updated(host, one, 0, here) == {"memory.swap.max": "max", "memory.high": str(64 * MIB)}


def test_what_is_no_longer_wanted_gets_the_runtimes_value(host: Host, place: Place) -> None:
    """containerd keeps our values in the container's specification and would write them again for ever."""
    here = pod({"class.memory-qos.nri.io": "bronze"})
    one = container("f00d", here, limit=64 * MIB)
    host.handshake()
    host.create(here, one)

    place.with_table(ClassTable())

    assert updated(host, one, 0, here) == {"memory.swap.max": "0", "memory.high": "max"}
    host.settle()
    assert place.records()["f00d"].adjusted == {"memory.swap.max": "0", "memory.high": "max"}


def test_a_released_container_is_given_back_at_an_update(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD, limit=64 * MIB)
    host.handshake()
    host.create(IDLE_POD, one)

    place.view = replace(place.view, released=frozenset({"f00d"}))

    assert updated(host, one) == {"memory.swap.max": "0"}


def test_a_paused_node_repeats_what_was(host: Host, place: Place) -> None:
    one = container("f00d", IDLE_POD, limit=64 * MIB)
    host.handshake()
    host.create(IDLE_POD, one)

    place.view = replace(place.view, paused=True, table=ClassTable())

    assert updated(host, one) == {"memory.swap.max": "max"}


def test_what_the_kubelet_wants_at_a_resize_is_remembered(place: Place) -> None:
    """It sets memory.high and memory.low by itself (MemoryQoS), and other values after a resize."""
    here = pod({"class.memory-qos.nri.io": "bronze"})
    plugin, one = place.plugin(), container("f00d", here, limit=64 * MIB)
    request = api.CreateContainerRequest(pod=here, container=one)
    plugin.answer("CreateContainer", request.SerializeToString()).work()
    resize = api.UpdateContainerRequest(pod=here, container=one)
    wanted = {"memory.low": "4096\n", "memory.high": "8192", "cpu.weight": "1"}
    echoed = {"memory.swap.max": "max"}  # ours, out of the specification that the runtime keeps
    resize.linux_resources.unified.update(wanted | echoed)

    (record,) = plugin.answer("UpdateContainer", resize.SerializeToString()).work().write

    assert dict(record.runtime_values) == {
        "memory.max": str(64 * MIB),
        "memory.low": "4096",
        "memory.high": "8192",
        "memory.swap.max": "0",
    }
    assert record.memory_limit == 64 * MIB


def test_an_update_of_what_is_unmanaged_says_nothing(host: Host) -> None:
    here = pod()
    host.handshake()

    assert updated(host, container("f00d", here), 64 * MIB, here) == {}


# -- Synchronize and restarts ----------------------------------------------------------------------------------------


def test_synchronize_is_the_truth(host: Host, place: Place, start: Callable[[], Host]) -> None:
    place.cgroup("/kubepods/podweb-0/f00d")
    host.handshake((IDLE_POD, container("f00d", IDLE_POD, pid=42)), (IDLE_POD, container("dead", IDLE_POD)))
    host.settle()
    assert sorted(place.records()) == ["dead", "f00d"]
    assert place.records()["f00d"].state is WorkloadState.LIVE
    host.close()

    again = start()
    again.handshake((IDLE_POD, container("f00d", IDLE_POD, pid=42)), (IDLE_POD, container("beef", IDLE_POD)))
    again.settle()
    assert sorted(place.records()) == ["beef", "f00d"]


def test_what_a_container_was_created_with_survives_a_restart_of_ours(
    host: Host, place: Place, start: Callable[[], Host]
) -> None:
    one = container("f00d", IDLE_POD, limit=64 * MIB)
    host.handshake()
    host.create(IDLE_POD, one)
    host.settle()
    host.close()

    again = start()
    again.handshake((IDLE_POD, one))
    again.settle()

    assert place.records()["f00d"].adjusted == {"memory.swap.max": "max"}


def test_synchronize_in_chunks(host: Host, place: Place) -> None:
    host.handshake(synchronize=False)
    chunks = [
        api.SynchronizeRequest(containers=[container("f00d", IDLE_POD)], more=True),
        api.SynchronizeRequest(pods=[IDLE_POD], containers=[container("beef", IDLE_POD)], more=True),
        api.SynchronizeRequest(containers=[container("cafe", IDLE_POD)]),
    ]
    replies = [api.SynchronizeResponse.FromString(host.call("Synchronize", chunk).payload) for chunk in chunks]
    host.settle()

    assert [(reply.more, len(reply.update)) for reply in replies] == [(True, 0), (True, 0), (False, 0)]
    assert {key: one.pod for key, one in place.records().items()} == dict.fromkeys(("f00d", "beef", "cafe"), "web-0")


def test_half_a_synchronize_counts_for_nothing(host: Host, place: Place, start: Callable[..., Host]) -> None:
    plugin = place.plugin()
    first = start(plugin)
    first.handshake(synchronize=False)
    first.call("Synchronize", api.SynchronizeRequest(containers=[container("f00d", IDLE_POD)], more=True))
    first.close()
    place.end()

    second = start(plugin)
    second.handshake((IDLE_POD, container("beef", IDLE_POD)))
    second.settle()

    assert list(place.records()) == ["beef"]


def test_peoples_records_survive_a_synchronize(host: Host, place: Place) -> None:
    folder = Path(place.state) / "workloads.d"
    folder.mkdir(parents=True)
    (folder / "db.yaml").write_text("{name: db, cgroup: /db, class: swap-idle-data}")

    host.handshake()
    host.settle()

    assert list(place.records()) == ["db"]


def test_old_hosts_do_not_synchronize_what_they_launched(host: Host, place: Place, start: Callable[[], Host]) -> None:
    """Then STATE and the cgroup tree must do."""
    place.cgroup("/kubepods/podweb-0/f00d")
    place.cgroup("/kubepods/podweb-0/dead")
    subjects = [(IDLE_POD, container(ident, IDLE_POD, pid=42)) for ident in ("f00d", "dead")]
    host.handshake(*subjects)
    host.settle()
    host.close()
    place.no_cgroup("/kubepods/podweb-0/dead")

    again = start()
    again.handshake(synchronize=False)
    again.settle()

    assert list(place.records()) == ["f00d"]


def test_what_started_while_we_were_away_is_found_again(host: Host, place: Place, start: Callable[[], Host]) -> None:
    host.handshake()
    host.create(IDLE_POD, container("f00d", IDLE_POD))
    host.create(IDLE_POD, container("beef", IDLE_POD))
    host.settle()
    host.close()
    place.cgroup("/kubepods/podweb-0/f00d")

    again = start()
    again.handshake(synchronize=False)
    again.settle()

    found = {ident: (record.state, record.cgroup) for ident, record in place.records().items()}
    assert found == {
        "f00d": (WorkloadState.LIVE, "/kubepods/podweb-0/f00d"),
        "beef": (WorkloadState.PENDING, ""),  # may be about to start
    }


def test_an_update_of_a_container_that_nobody_told_us_of_is_enough(host: Host, place: Place) -> None:
    place.cgroup("/kubepods/podweb-0/f00d")
    host.handshake(synchronize=False)

    assert updated(host, container("f00d", IDLE_POD, pid=42)) == {"memory.swap.max": "max"}
    host.settle()

    record = place.records()["f00d"]
    assert (record.state, record.cgroup) == (WorkloadState.LIVE, "/kubepods/podweb-0/f00d")


def test_a_cgroup_tree_that_is_not_in_sight_says_nothing(host: Host, place: Place, start: Callable[[], Host]) -> None:
    place.cgroup("/kubepods/podweb-0/f00d")
    host.handshake((IDLE_POD, container("f00d", IDLE_POD, pid=42)))
    host.settle()
    host.close()
    place.view = replace(place.view, features=Features(kernel="", page_size=4096))

    again = start()
    again.handshake(synchronize=False)
    again.settle()

    assert place.records()["f00d"].cgroup == "/kubepods/podweb-0/f00d"


# -- configuration that the runtime hands to us ----------------------------------------------------------------------


def published(place: Place) -> list[Path]:
    return sorted((Path(place.state) / "classes.d").glob("*"))


def test_configuration_is_published_and_taken_back(host: Host, place: Place, start: Callable[[], Host]) -> None:
    host.handshake(config="classes: []\n")
    host.settle()
    (path,) = published(place)
    assert (path.name, path.read_text()) == (
        "zz-nri-10-ebbtide.yaml",
        f"classes: []\n# handed to `ebbtide nri` on boot {BOOT}\n",
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    again = start()
    again.handshake(config="classes: [{name: x}]\n")
    again.settle()
    assert path.read_text().startswith("classes: [{name: x}]\n")

    third = start()
    third.handshake()
    third.settle()
    assert published(place) == []


def test_nobody_elses_published_file_is_touched(host: Host, place: Place) -> None:
    folder = Path(place.state) / "classes.d"
    folder.mkdir(parents=True)
    (folder / "50-mine.yaml").write_text("classes: []")

    host.handshake()
    host.settle()

    assert [path.name for path in published(place)] == ["50-mine.yaml"]
