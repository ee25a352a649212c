"""No slow disk delays a container."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nri.background import Background, Guard
from nri.changes import Changes
from nri.plugin import Plugin
from reconciler.model import Workload
from tests.nri.conftest import Place
from tests.nri.host import GENEROUS, Host, container, pod

IDLE_POD = pod({"class.memtierd.nri.io": "swap-idle-data"})


class Disk:
    """Writes and looks only as long as the test lets it."""

    def __init__(self) -> None:
        self.works = threading.Event()
        self.reached = threading.Event()
        self.done = Changes()
        self.looks = 0

    def perform(self, changes: Changes) -> None:
        self.reached.set()
        assert self.works.wait(GENEROUS)
        self.done = self.done.then(changes)

    def refresh(self) -> None:
        self.looks += 1


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_a_disk_that_hangs_delays_no_container(
    disk: Disk, place: Place, start: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    """The test would hang, too, if an answer needed the disk."""
    with Background(disk.perform, disk.refresh) as background:

        def look() -> object:
            background.catch_up(0.01)
            return place.view

        host = start(Plugin(place.tree, look), background.submit)  # type: ignore[arg-type] # View
        host.handshake()
        for number in range(100):
            assert host.create(IDLE_POD, container(f"f00d{number}", IDLE_POD)) == {"memory.swap.max": "max"}
            host.event("StopContainer", IDLE_POD, container(f"f00d{number}", IDLE_POD))
        host.create(IDLE_POD, container("beef", IDLE_POD))
        host.settle()
        assert disk.done == Changes()
        disk.works.set()

    assert [one.id for one in disk.done.write] == ["beef"]
    assert len(disk.done.remove) == 100
    assert [one.getMessage() for one in caplog.records if "slow-disk" in one.getMessage()] == [
        'event=slow-disk waited=0.01s using="what was read before"'
    ]


def test_who_asks_sees_what_was_there_before_asking(disk: Disk) -> None:
    disk.works.set()
    with Background(disk.perform, disk.refresh) as background:
        background.submit(Changes(publish="x"))
        background.catch_up(GENEROUS)

        assert disk.done.publish == "x"
        assert disk.looks > 0


def test_nobody_waits_for_a_look_that_began_earlier(disk: Disk) -> None:
    """A class file may have changed since."""
    with Background(disk.perform, disk.refresh) as background:
        background.submit(Changes(publish="first"))
        assert disk.reached.wait(GENEROUS)
        background.submit(Changes(publish="second"))
        disk.works.set()
        background.catch_up(GENEROUS)

        assert disk.done.publish == "second"
        assert disk.looks >= 2


def test_it_looks_by_itself_now_and_then(disk: Disk) -> None:
    disk.works.set()
    looked = threading.Event()
    with Background(disk.perform, looked.set):
        assert looked.wait(GENEROUS)


def test_a_failure_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard("look")

    def fail() -> None:
        raise OSError(24, "Too many open files")

    for step in (fail, fail, bool, fail):
        guard.attempt(step)

    said = 'event=look-failed error="OSError: [Errno 24] Too many open files"'
    assert [(one.getMessage(), bool(one.exc_info)) for one in caplog.records] == [(said, False)] * 2


def test_a_failing_disk_ends_nothing(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object = None) -> None:
        raise RuntimeError("a bug")

    with Background(fail, fail) as background:
        background.submit(Changes(publish="x"))
        background.catch_up(GENEROUS)
        background.catch_up(GENEROUS)

    assert [one.getMessage().partition(" ")[0] for one in caplog.records][:2] == [
        "event=writing-failed",
        "event=look-failed",
    ]


# -- two changes as one ----------------------------------------------------------------------------------------------

IDS = st.sampled_from("abcd")
CHANGES = st.builds(
    Changes,
    publish=st.sampled_from([None, "", "x", "y"]),
    write=st.lists(st.builds(Workload, id=IDS, pod=st.text(max_size=1)), max_size=3, unique_by=lambda one: one.id).map(
        tuple
    ),
    remove=st.lists(IDS, max_size=2).map(tuple),
    keep=st.none() | st.frozensets(IDS),
)
State = tuple[str, dict[str, Workload]]


def performed(state: State, changes: Changes) -> State:
    """As Store does it."""
    published, records = state
    records = {**records, **{one.id: one for one in changes.write}}
    for ident in changes.remove:
        records.pop(ident, None)
    if changes.keep is not None:
        records = {ident: one for ident, one in records.items() if ident in changes.keep}
    return published if changes.publish is None else changes.publish, records


@given(st.lists(CHANGES, max_size=4))
def test_changes_that_waited_come_to_the_same(several: list[Changes]) -> None:
    before: State = ("old", {ident: Workload(id=ident) for ident in "abc"})
    one_by_one, together = before, Changes()
    for changes in several:
        one_by_one, together = performed(one_by_one, changes), together.then(changes)

    assert performed(before, together) == one_by_one
