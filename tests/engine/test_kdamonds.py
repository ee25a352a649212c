"""Kdamonds: what is ours, what is somebody else's, and that everything goes back, whenever we are killed."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler.engine.kdamond_record import Record
from reconciler.engine.kdamond_targets import Attributes
from reconciler.engine.kdamonds import OWN, Held, Kdamonds, Member, Wish
from reconciler.model import Identity
from sysfs import process
from sysfs.damon_scheme import Scheme, Spans
from sysfs.errors import Busy, KernelError
from tests.kernel.fake import FakeKernel
from tests.kernel.fake_damon import ADMIN, STAT, FakeDamon, Row
from tests.kernel.files import KernelTree

MIB = 1 << 20
BOOT = "boot"
ATTRIBUTES = Attributes()
SPAN = ((0, 64 * MIB),)
GENERATIONS = ("6.12", "6.16", "6.18", "6.19", "7.2")


class Killed(BaseException):
    """The process ends here: nothing that comes later in it is done."""


class Machine:
    """A kernel with DAMON and processes 70, 71, ..., and daemons that come and go on it."""

    def __init__(self, fs: FakeFilesystem, version: str = "6.12") -> None:
        self.kernel = FakeKernel(fs)
        self.kernel.cgroup("/a")
        self.damon = FakeDamon(self.kernel, version)
        self.state = Path("/state")
        fs.create_dir(self.state)
        self.now = 0.0
        self.slept = 0

    def process(self, pid: int, *rows: Row) -> Identity:
        self.kernel.process(pid, "/a")
        self.damon.sees[pid] = list(rows)
        return process.identity(self.kernel.tree, pid)

    def daemon(self) -> Kdamonds:
        return Kdamonds(self.kernel.tree, Record(self.state, BOOT), clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept += 1

    def advance(self, aggregations: int) -> None:
        self.now += aggregations
        self.damon.advance(aggregations)

    def count(self) -> str:
        return self.kernel.tree.read(f"{ADMIN}/nr_kdamonds").strip()

    def recorded(self) -> bool:
        return (self.state / "kdamonds.json").exists()

    def on(self) -> list[int]:
        return [number for number, each in enumerate(self.damon.kdamonds) if each.on]

    def targets(self, number: int = OWN - 1) -> list[int]:
        running = self.damon.kdamonds[number].running
        return [each.pid for each in running.targets] if running else []


@pytest.fixture
def machine(fs: FakeFilesystem) -> Machine:
    return Machine(fs)


def wish(name: str = "w", **changes: object) -> Wish:
    return replace(Wish(name=name, attributes=ATTRIBUTES), **changes)  # type: ignore[arg-type]


def ages(member: Member) -> Mapping[int, int]:
    return {key[0]: int(each.age.min()) for key, each in member.look().snapshots.items()}


def follow(member: Member, *who: Identity, spans: Spans = SPAN) -> None:
    member.follow(dict.fromkeys(who, spans))


# -- whose they are ----------------------------------------------------------------------------------------------------


def test_ours_are_made_once_and_all_goes_back(machine: Machine) -> None:
    one = machine.process(70, Row(0, MIB, 3))
    daemon = machine.daemon()
    member = daemon.join(wish())
    follow(member, one)

    assert (machine.count(), machine.on(), machine.targets()) == (str(OWN), [OWN - 1], [70])
    assert machine.recorded()
    member.leave()
    assert (machine.count(), machine.recorded()) == ("0", False)


def test_what_is_closed_is_not_started_again(machine: Machine) -> None:
    one = machine.process(70)
    daemon = machine.daemon()
    member = daemon.join(wish())
    follow(member, one)
    daemon.close()

    assert machine.count() == "0"
    with pytest.raises(Held, match="given back"):
        member.look()
    member.leave()
    assert machine.count() == "0"


def test_foreign_kdamonds_are_never_touched(machine: Machine) -> None:
    machine.damon.foreign()
    with pytest.raises(Held, match=r"1 kdamond is in .* kdamondslist .* another tracker"):
        machine.daemon().join(wish())

    assert machine.kernel.writes == []
    assert machine.on() == [0]


def test_no_damon_is_said(fs: FakeFilesystem) -> None:
    kernel = FakeKernel(fs)
    with pytest.raises(Held, match="CONFIG_DAMON_SYSFS"):
        Kdamonds(kernel.tree).join(wish())


def test_damon_stat_is_paused_with_consent_only_and_put_back(machine: Machine) -> None:
    machine.damon.stat = True
    one = machine.process(70)
    daemon = machine.daemon()
    with pytest.raises(Held, match="pausedamonstat"):
        daemon.join(wish())
    assert machine.kernel.writes == []

    member = daemon.join(wish(pause_stat=True))
    follow(member, one)
    assert (machine.damon.stat, machine.on()) == (False, [OWN - 1])
    member.leave()
    assert machine.damon.stat


def test_a_module_that_starts_meanwhile_is_named(machine: Machine) -> None:
    one = machine.process(70)
    member = machine.daemon().join(wish())
    machine.damon.stat = True
    with pytest.raises(Held, match="DAMON_STAT"):
        follow(member, one)


def test_kdamonds_that_somebody_made_anew_are_not_ours_any_more(machine: Machine) -> None:
    daemon = machine.daemon()
    member = daemon.join(wish())
    machine.damon._set_count("3")
    with pytest.raises(Held, match="made our kdamonds anew"):
        daemon.join(wish(attributes=replace(ATTRIBUTES, sample_us=1)))
    member.leave()

    assert machine.count() == "3"


def test_so_many_are_made_as_the_class_says(machine: Machine) -> None:
    daemon = machine.daemon()
    member = daemon.join(wish(number=2, kdamonds=(0, 1)))
    other = daemon.join(wish(number=2, kdamonds=(0, 1)))
    one, two = machine.process(70), machine.process(71)
    follow(member, one)
    follow(other, two)

    assert (machine.count(), machine.on()) == ("2", [0, 1])
    member.leave()
    other.leave()
    assert machine.count() == "0"


# -- an administrator's ------------------------------------------------------------------------------------------------


def borrowed(machine: Machine) -> None:
    """Two kdamonds that an administrator made and set up, and switched off."""
    machine.damon._set_count("2")
    for path, text in {
        "contexts/nr_contexts": "1",
        "contexts/0/operations": "paddr",
        "contexts/0/monitoring_attrs/intervals/sample_us": "777",
        "contexts/0/targets/nr_targets": "1",
        "contexts/0/targets/0/regions/nr_regions": "1",
        "contexts/0/targets/0/regions/0/end": "4096",
        "contexts/0/schemes/nr_schemes": "1",
        "contexts/0/schemes/0/action": "pageout",
    }.items():
        machine.damon.kdamonds[0].make(path, text)


def test_named_kdamonds_and_no_others_are_used_and_get_their_settings_back(machine: Machine) -> None:
    borrowed(machine)
    before = dict(machine.damon.kdamonds[0].values)
    one, two = machine.process(70), machine.process(71)
    daemon = machine.daemon()
    first, second = daemon.join(wish(kdamonds=(0,))), daemon.join(wish(kdamonds=(0,)))
    follow(first, one)
    follow(second, two)

    assert (machine.on(), sorted(machine.targets(0))) == ([0], [70, 71])
    first.leave()
    second.leave()
    assert (machine.count(), machine.on()) == ("2", [])
    assert machine.damon.kdamonds[0].values == before
    assert {write.path.split("/")[7] for write in machine.kernel.writes} == {"0"}


@pytest.mark.parametrize(("kdamonds", "said"), [((5,), "there are 2"), ((0,), r"is on \(thread 900\)")])
def test_named_kdamonds_that_cannot_be_used(machine: Machine, kdamonds: tuple[int, ...], said: str) -> None:
    machine.damon.foreign(2)
    with pytest.raises(Held, match=said):
        machine.daemon().join(wish(kdamonds=kdamonds))
    assert machine.kernel.writes == []


def test_all_named_kdamonds_used_otherwise(machine: Machine) -> None:
    machine.damon._set_count("1")
    daemon = machine.daemon()
    daemon.join(wish("a", kdamonds=(0,)))
    with pytest.raises(Held, match="other intervals or regions for a:"):
        daemon.join(wish("b", kdamonds=(0,), attributes=replace(ATTRIBUTES, sample_us=1)))


# -- killed ------------------------------------------------------------------------------------------------------------


def life(machine: Machine, kdamonds: tuple[int, ...], who: list[Identity]) -> None:
    daemon = machine.daemon()
    member = daemon.join(wish(pause_stat=True, kdamonds=kdamonds))
    other = daemon.join(wish("other", pause_stat=True, kdamonds=kdamonds))
    follow(member, *who)
    follow(other, who[0])
    member.look()
    member.leave()
    other.leave()


def dies_after(tree: KernelTree, writes: int) -> Callable[[str, str], None]:
    """Writes of a process that is killed before a certain one: none of what it still tries comes through."""
    real, left = tree.write, [writes]

    def write(path: str, text: str) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        real(path, text)

    return write


@pytest.mark.parametrize("kdamonds", [(), (0,)])
def test_killed_at_any_write_the_next_daemon_gives_everything_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, kdamonds: tuple[int, ...]
) -> None:
    who = [machine.process(70, Row(0, MIB)), machine.process(71, Row(0, MIB))]
    machine.damon.stat = True
    if kdamonds:
        borrowed(machine)
    before = (machine.count(), [dict(each.values) for each in machine.damon.kdamonds])
    life(machine, kdamonds, who)
    steps = len(machine.kernel.writes)

    for step in range(1, steps + 1):
        with monkeypatch.context() as patched:
            patched.setattr(machine.kernel.tree, "write", dies_after(machine.kernel.tree, step))
            with pytest.raises(Killed):
                life(machine, kdamonds, who)
        machine.daemon().recover()
        after = (machine.count(), [dict(each.values) for each in machine.damon.kdamonds])
        assert (after, machine.damon.stat, machine.on(), machine.recorded()) == (before, True, [], False), step
    assert steps > 40


def test_after_a_kill_the_next_daemon_works(machine: Machine) -> None:
    one = machine.process(70, Row(0, MIB))
    follow(machine.daemon().join(wish()), one)
    member = machine.daemon().join(wish())
    follow(member, one)
    machine.advance(3)

    assert ages(member) == {70: 3}


def test_a_record_says_nothing_about_kdamonds_of_somebody_else(machine: Machine) -> None:
    follow(machine.daemon().join(wish()), machine.process(70))
    for each in machine.damon.kdamonds:
        each.running = None
    machine.damon._set_count("0")
    machine.damon.foreign(OWN)
    machine.kernel.writes.clear()
    machine.daemon().recover()

    assert (machine.count(), machine.on(), machine.recorded()) == (str(OWN), [0], False)
    assert machine.kernel.writes == []


def test_a_record_of_another_boot_is_nothing(machine: Machine) -> None:
    follow(machine.daemon().join(wish()), machine.process(70))
    machine.kernel.writes.clear()
    Kdamonds(machine.kernel.tree, Record(machine.state, "later")).recover()

    assert machine.kernel.writes == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9, "boot_id": "boot", "loan": {}}'])
def test_a_record_that_cannot_be_understood_is_nothing(machine: Machine, text: str) -> None:
    (machine.state / "kdamonds.json").write_text(text)
    machine.daemon().recover()

    assert machine.kernel.writes == []


# -- sharing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", GENERATIONS)
def test_each_user_sees_its_own_processes(fs: FakeFilesystem, version: str) -> None:
    machine = Machine(fs, version)
    who = [machine.process(70 + i, Row(i * MIB, (i + 1) * MIB, i), Row(0, MIB, 9)) for i in range(1, 4)]
    daemon = machine.daemon()
    one, other = daemon.join(wish("one")), daemon.join(wish("other"))
    follow(one, who[0], who[2])
    follow(other, who[1])
    machine.advance(5)
    seen = {**one.look().snapshots, **other.look().snapshots}

    assert machine.on() == [OWN - 1], "equal wishes share one"
    assert {key[0]: (each.start // MIB).tolist() for key, each in seen.items()} == {71: [0, 1], 72: [0, 2], 73: [0, 3]}
    assert seen[who[1]].accesses.tolist() == [9, 2]


@pytest.mark.parametrize("version", GENERATIONS)
def test_processes_come_and_go_without_the_others_data(fs: FakeFilesystem, version: str) -> None:
    machine = Machine(fs, version)
    who = [machine.process(pid, Row(pid * MIB, (pid + 1) * MIB)) for pid in (70, 71, 72)]
    member = machine.daemon().join(wish())
    follow(member, *who)
    machine.advance(10)
    late = machine.process(80, Row(0, MIB))
    follow(member, *who, late)
    machine.advance(10)
    assert ages(member) == {70: 20, 71: 20, 72: 20, 80: 10}

    follow(member, who[1], late)
    machine.advance(10)
    moved = {} if machine.damon.since("6.19") else {80: 10}
    assert ages(member) == {71: 30, 80: 20} | moved, "before 6.19 the last target moves into the first hole"


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_process_that_exits_just_before_a_change_costs_nobody_anything(fs: FakeFilesystem, version: str) -> None:
    machine = Machine(fs, version)
    one, two, three = (machine.process(pid, Row(0, MIB)) for pid in (70, 71, 72))
    member = machine.daemon().join(wish())
    follow(member, one, two)
    machine.advance(10)
    machine.kernel.exit(71)
    follow(member, one, two, three)
    machine.advance(10)

    kept = 20 if machine.damon.since("6.16") else 10  # older kernels end at such a change, and begin again
    assert ages(member) == {70: kept, 72: 10}


def test_a_kdamond_ends_with_its_processes_and_starts_with_others(machine: Machine) -> None:
    one = machine.process(70, Row(0, MIB))
    member = machine.daemon().join(wish())
    follow(member, one)
    machine.kernel.exit(70)
    assert member.look().snapshots == {}

    follow(member, machine.process(71, Row(0, MIB)))
    machine.advance(2)
    assert ages(member) == {71: 2}
    follow(member)
    assert machine.on() == [], "vaddr without targets would end at once"


def test_somebody_elses_command_is_waited_for(machine: Machine) -> None:
    one = machine.process(70, Row(0, MIB))
    member = machine.daemon().join(wish())
    machine.damon.in_flight = 3
    follow(member, one)
    assert (machine.slept, machine.on()) == (3, [OWN - 1])

    machine.damon.in_flight = 1000
    with pytest.raises(Busy):
        member.look()
    machine.damon.in_flight = 0
    assert set(ages(member)) == {70}


def test_giving_back_is_tried_again(machine: Machine) -> None:
    daemon = machine.daemon()
    member = daemon.join(wish())
    follow(member, machine.process(70))
    machine.damon.in_flight = 1000
    member.leave()
    assert machine.recorded()

    machine.damon.in_flight = 0
    daemon.close()
    assert (machine.count(), machine.recorded()) == ("0", False)


def test_much_more_memory_means_more_regions(machine: Machine) -> None:
    one = machine.process(70)
    member = machine.daemon().join(wish(attributes=replace(ATTRIBUTES, largest_bytes=32 * MIB)))
    follow(member, one)
    path = f"{ADMIN}/{OWN - 1}/contexts/0/monitoring_attrs/nr_regions/min"
    assert machine.kernel.tree.read(path) == "10\n"

    follow(member, one, spans=((0, 1024 * MIB),))
    assert machine.kernel.tree.read(path) == "64\n"
    assert machine.damon.commits == 1
    follow(member, one, spans=((0, 1025 * MIB),))
    assert machine.damon.commits == 1


# -- schemes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_scheme_acts_on_its_users_processes_alone(fs: FakeFilesystem, version: str) -> None:
    machine = Machine(fs, version)
    one, two = machine.process(70, Row(0, MIB)), machine.process(71, Row(0, 2 * MIB))
    daemon = machine.daemon()
    tracker, policy = daemon.join(wish("tracker")), daemon.join(wish("policy", looks=False))
    follow(tracker, one, two)
    follow(policy, two)
    policy.act((Scheme(action="pageout", accesses=(0, 0), age=(5, 1 << 31)),))
    machine.advance(3)
    assert machine.damon.acted == []
    machine.advance(3)
    assert machine.damon.acted == [("pageout", 71, 0, 2 * MIB)]

    policy.act(())
    machine.advance(3)
    assert len(machine.damon.acted) == 1
    policy.act((Scheme(action="pageout"),))
    machine.advance(1)
    done = policy.done()
    assert (done.applied_bytes, done.applied_regions) == (4 * MIB, 2), "over all changes, and of its own scheme alone"


def test_what_this_kernel_cannot_share_is_refused(fs: FakeFilesystem) -> None:
    machine = Machine(fs, "6.3")
    machine.damon.tracefs()
    daemon = machine.daemon()
    policy = daemon.join(wish(looks=False))
    follow(policy, machine.process(70))
    policy.act((Scheme(action="pageout"),))
    with pytest.raises(KernelError, match=r"6\.6"):
        follow(daemon.join(wish(looks=False)), machine.process(71))


def test_a_refused_disk_means_no_write(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Record, _loan: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/state/kdamonds.json")

    monkeypatch.setattr(Record, "save", full)
    with pytest.raises(OSError, match="No space left"):
        machine.daemon().join(wish())
    assert machine.kernel.writes == []
    assert machine.kernel.tree.read(STAT) == "N\n"
