"""The prompt itself and the commands that need no memory: what is printed, and what is an error."""

from pathlib import Path

import pytest

from reconciler.engineconfig import AgeConfig, EngineConfig, RoutineConfig
from reconciler.memtierd.commands.catalogue import COMMANDS
from reconciler.memtierd.console import Answer
from tests.prompt.conftest import Prompt
from tests.prompt.fake_host import FakeSession, FakeTask, region

AGE = '{"IntervalMs":5000,"SwapOutMs":10000,"Tracker":{"Name":"referenced","Config":"{\\"ScanIntervalMs\\":4000}"}}'


def test_help_lists_all_commands(prompt: Prompt) -> None:
    lines = prompt("help")

    assert lines[0] == "Available commands:"
    assert [line.split()[0] for line in lines[1:15]] == sorted(COMMANDS)
    assert len(COMMANDS) == 14


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(prompt: Prompt, name: str) -> None:
    lines = prompt(f"{name} -h")

    assert lines[0].startswith(f"usage: {name}")
    flags = COMMANDS[name].flags
    assert [line.split()[0] for line in lines[2:]] == [f"-{flag.name}" for flag in flags]
    assert prompt("help " + name)[1].split()[0] == name


def test_every_flag_of_memtierd_is_there() -> None:
    known = {
        "pages": "pid ranges attrs node pr pm pk pi si",
        "arange": "pid ls split-length min-length",
        "mover": "config config-dump pages-to start stop pause continue tasks remove-task wait",
        "tracker": "ls create config config-file config-dump start stop reset counters heat dump",
        "policy": "ls create config config-file config-dump start stop dump",
        "pidwatcher": "ls create config config-file config-dump start stop poll listener dump",
        "routines": "ls create use config config-file config-dump start stop dump",
        "swap": "pid pids pid-cgroups ranges in out mover status vaddrs",
        "stats": "t f lm le dump",
        "time": "now start elapsed stop sleep",
        "log": "i d e f copy capture prefix",
    }
    for name, flags in known.items():
        assert {flag.name for flag in COMMANDS[name].flags} == set(flags.split()), name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stat", "unknown command 'stat'; did you mean \"stats\"?"),
        ("stats -tt x", 'stats: unknown flag -tt; did you mean "t"?'),
        ("log -i 'x", "error in command: the quote ' at column 8 never closes"),
        ("policy -dump accessed 0,1 -x", "policy: no policy, create one with -create NAME"),
        ("help me", "help: no command is called 'me'"),
    ],
)
def test_what_is_unknown(prompt: Prompt, line: str, said: str) -> None:
    assert prompt.wrong(line) == [said]


def test_nothing_and_pipes(prompt: Prompt) -> None:
    assert prompt.console.run("") == Answer()
    assert prompt.console.run("nop what ever | cat") == Answer(pipe="cat")
    assert prompt.console.run("time -now | cat") == Answer(text="1700000000.000000\n", pipe="cat")


def test_q(prompt: Prompt) -> None:
    assert prompt.console.run("q") == Answer(over=True)
    assert prompt.console.run("q now").over is False


def test_time(prompt: Prompt) -> None:
    assert prompt("time -now") == ["1700000000.000000"]
    assert prompt("time -start a,b") == [
        'stopwatch "a" started 1700000000.000000',
        'stopwatch "b" started 1700000000.000000',
    ]
    prompt("time -sleep 1.5")
    assert prompt("time -elapsed a,b") == ["1.500000", "1.500000"]
    assert prompt("time -stop a") == ['stopwatch "a" stopped at 1.500000']
    assert prompt.wrong("time -elapsed a") == ['time: stopwatch "a" is not started']
    assert "no number of seconds" in prompt.wrong("time -sleep nan")[0]


def test_sleeping_where_nobody_may_be_kept_waiting(prompt: Prompt) -> None:
    prompt.host.patience = 2.0

    answers = [prompt.console.run("time -now -sleep 5") for _ in range(3)]

    assert [(answer.text, answer.again) for answer in answers] == [
        ("1700000000.000000\n", True),
        ("", True),
        ("", False),
    ]
    assert prompt.host.told == ["sleep 2", "sleep 2", "sleep 1"]
    assert prompt("time -now -sleep 0") == ["1700000005.000000"]


def test_log(prompt: Prompt) -> None:
    prompt("log -i 'hello 100% {}' there")
    prompt("log -d x -e y")
    assert prompt.host.told == ["info: hello 100% {} there", "debug: x", "error: y"]
    assert prompt.console.run("log -f bye") == Answer(ok=False, over=True)


def test_output_goes_to_the_log(prompt: Prompt) -> None:
    assert "-copy or -capture" in prompt.wrong("log -prefix p:")[0]
    prompt("log -copy -prefix 'p: '")
    assert prompt("time -now") == ["1700000000.000000"]
    prompt("log -capture")
    assert prompt("time -now") == []
    assert prompt.host.told == ["info: p: 1700000000.000000"] * 2


def test_log_does_not_end_the_daemon(prompt: Prompt) -> None:
    prompt.host.fixed = "it is the class's"

    assert not prompt.console.run("log -f bye").over


def test_stats(prompt: Prompt) -> None:
    assert prompt("stats") == ["stats  50% of %s"]
    assert prompt("stats -t memory_scans,events") == ["stats -t memory_scans,events 50% of %s"]
    assert prompt("stats -f csv") == ["stats -f csv 50% of %s"]
    assert prompt("stats -lm 4 -le 5") == ["stats -lm 4 50% of %s", "stats -le 5 50% of %s"]
    assert prompt("stats -dump moves start") == ["stats -dump moves start 50% of %s"]
    assert prompt.wrong("stats -t nothing") == ['stats: unknown table "nothing", available: "events"']
    assert "-dump moves start|new|stop" in prompt.wrong("stats -dump")[0]
    assert 'unknown format the text "xml"' in prompt.wrong("stats -f xml")[0]


# -- policy, tracker, pidwatcher, routines ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("tracker", {"auto", "damon", "finder", "idlepage", "multi", "softdirty", "stub"}),
        ("policy", {"age", "avoid-oom", "demote-idle", "heat", "ratio", "stub"}),
        ("pidwatcher", {"cgroups", "filter", "pidlist", "proc"}),
        ("routines", {"statactions", "stub"}),
    ],
)
def test_what_can_be_made_is_listed_and_nothing_else_done(prompt: Prompt, name: str, some: set[str]) -> None:
    lines = prompt(f"{name} -ls -create stub")

    assert some <= set(lines)
    assert lines == sorted(lines)
    assert prompt.wrong(f"{name} -ls all")[0].startswith(f"{name}: unexpected word 'all'")


def test_the_life_of_a_policy(prompt: Prompt) -> None:
    assert {"age", "heat", "ratio", "stub"} <= set(prompt("policy -ls"))
    assert prompt(f"policy -create age -config {AGE} -start") == ["policy created"]
    config = prompt.host.configs["policy"]
    assert (config.policy.interval_ms, config.tracker.scan_interval_ms) == (5000, 4000)
    assert isinstance(config.policy, AgeConfig)
    assert config.policy.swapout_ms == 10000
    assert prompt("policy -dump accessed 0,1s") == ["dump of ('accessed', '0,1s') 100% {} %d"]
    assert '"interval": "5s"' in prompt("policy -config-dump")[0]
    assert prompt("policy -start") == [], "it runs already"
    assert prompt("policy -stop") == ["policy stopped"]
    assert prompt.host.told == ["start policy", "stop policy"]


def test_a_running_policy_begins_afresh_with_another_configuration(prompt: Prompt) -> None:
    prompt(f"policy -create age -config {AGE} -start")
    prompt.host.files["/x.json"] = AGE.replace("5000", "7000")

    prompt("policy -config-file /x.json")

    assert prompt.host.told == ["start policy", "start policy"]
    assert prompt.host.configs["policy"].policy.interval_ms == 7000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("policy -create ages", 'policy: unknown policy the text "ages"; did you mean "age"?'),
        ('policy -create age -config {"Intervalms":"x"} -start', "must be a whole number"),
        ("policy -create age -config '{' -start", "error"),
        ("policy -create age -start", '"intervalms" is missing'),
        ("policy -create age -config {} -config-file /x", "say the same thing twice"),
        ("policy -create age -config-file /x", "there is no such file"),
        ("policy -create age -dump accessed", "the policy was not started yet: -start"),
    ],
)
def test_a_policy_that_cannot_be(prompt: Prompt, line: str, said: str) -> None:
    assert said in "\n".join(prompt.wrong(line))
    assert prompt.host.told == []


def test_a_fixed_policy_is_shown_and_not_changed(prompt: Prompt) -> None:
    prompt.host.fixed = "the class gives it"
    prompt.host.configs["policy"] = EngineConfig(policy=AgeConfig(swapout_ms=1))
    prompt.host.sessions["policy"] = FakeSession()

    for line in (
        "policy -create age",
        "policy -config {}",
        "policy -stop",
        "tracker -create idlepage",
        "tracker -start 42",
        "pidwatcher -create proc",
        "routines -create statactions",
        "mover -config {}",
    ):
        assert "the class gives it" in prompt.wrong(line)[0], line
    assert prompt("policy -dump accessed") == ["dump of ('accessed',) 100% {} %d"]
    assert prompt.host.told == []


def test_the_life_of_a_tracker(prompt: Prompt) -> None:
    assert prompt.wrong("tracker -counters") == ["tracker: no tracker, create one with -create NAME [-config JSON]"]
    assert prompt("tracker -create referenced -start 42,43") == ["tracker created", "tracker started"]
    config = prompt.host.configs["tracker"]
    assert (config.policy_name, config.tracker.name, config.watcher.pids) == ("stub", "referenced", (42, 43))
    assert prompt("tracker -counters -heat") == ["no counter entries", "no counter entries"]
    assert prompt('tracker -config {"PagesInRegion":64}') == ["tracker configured successfully"]
    assert prompt.host.configs["tracker"].tracker.pages_in_region == 64
    assert prompt("tracker -dump raw start") == ["recorded start"]
    assert prompt("tracker -reset") == ["tracker counters reset"]
    assert prompt.host.sessions["tracker"].resets == 1
    assert '"name": "referenced"' in prompt("tracker -config-dump")[0]
    assert prompt("tracker -stop") == []
    assert prompt.host.told == ["start tracker", "start tracker", "stop tracker"]


def test_counters_and_heat(prompt: Prompt) -> None:
    import numpy as np

    prompt("tracker -create referenced -start 42")
    mine = np.concatenate([region(0x1000, 1, 2), region(0x2000, 2, 1, 1), region(0x4000, 1, 2), region(0x9000, 1, 2)])
    prompt.host.sessions["tracker"].found = {42: mine, 7: region(0x5000, 1)}

    assert prompt("tracker -counters") == [
        "a=0 r=0 w=0 AddrRanges{pid=7 ranges=5000-6000 (4096 B)}",
        "a=1 r=0 w=1 AddrRanges{pid=42 ranges=2000-4000 (8192 B)}",
        "a=2 r=0 w=0 AddrRanges{pid=42 ranges=1000-2000 (4096 B)}",
        "a=2 r=0 w=0 AddrRanges{pid=42 ranges=4000-5000 (4096 B)}",
        "a=2 r=0 w=0 AddrRanges{pid=42 ranges=9000-a000 (4096 B)}",
    ]
    assert prompt("tracker -heat") == ["5000-6000 (4096 B) 0", "1000-5000 (16384 B) 2", "9000-a000 (4096 B) 2"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tracker -create refrenced", 'did you mean "referenced"?'),
        ("tracker -create referenced -start x", '-start: the text "x" is no number'),
        ("tracker -create referenced -counters", "the tracker was not started yet"),
        ('tracker -create referenced -config {"Pages":1}', 'unknown key "pages"'),
        ("tracker -create referenced -start 42 -dump", "what shall be dumped?"),
    ],
)
def test_a_tracker_that_cannot_be(prompt: Prompt, line: str, said: str) -> None:
    assert said in "\n".join(prompt.wrong(line))


def test_a_tracker_leaves_alone_what_the_daemon_has(prompt: Prompt) -> None:
    prompt.host.refused = {42: "workload shop/db/1 of the running daemon has it"}

    assert "workload shop/db/1" in prompt.wrong("tracker -create referenced -start 42")[-1]
    assert prompt.host.told == []


def test_pidwatcher(prompt: Prompt) -> None:
    assert "no pidwatcher" in prompt.wrong("pidwatcher -poll")[0]
    assert prompt('pidwatcher -create pidlist -config {"Pids":[1,2]} -listener log') == [
        "pidwatcher created",
        "pidwatcher configured successfully",
    ]
    prompt.host.found = (42, 43)
    assert prompt("pidwatcher -poll") == ["pidwatcher: AddPids([42 43])"]
    prompt.host.found = (43, 44)
    assert prompt("pidwatcher -poll") == ["pidwatcher: RemovePids([42])", "pidwatcher: AddPids([44])"]
    assert prompt("pidwatcher -dump") == ["pidwatcher pidlist: [43 44]"]
    prompt("pidwatcher -start")
    prompt("pidwatcher -stop")
    assert prompt.host.told[-2:] == ["watch pidlist", "watch None"]
    assert '"pids": [1, 2]' in prompt("pidwatcher -config-dump")[0]


def test_pidwatcher_for_the_tracker(prompt: Prompt) -> None:
    prompt('pidwatcher -create pidlist -config {"Pids":[42]} -listener tracker')
    assert "-create NAME" in prompt.wrong("pidwatcher -start")[0]

    prompt("tracker -create referenced")
    prompt("pidwatcher -start")

    assert prompt.host.configs["tracker"].watcher.pids == (42,)
    assert 'did you mean "log"?' in prompt.wrong("pidwatcher -listener lag")[0]


def test_routines(prompt: Prompt) -> None:
    assert prompt.wrong("routines -dump") == ["routines: no routines, create one with -create NAME"]
    config = '{"IntervalMs":1000,"IntervalCommand":["stats"],"IntervalCommandRunner":"memtier"}'
    assert prompt("routines -create statactions") == ["routine 0 created, started using it"]
    assert "nothing to do yet" in prompt.wrong("routines -start")[0]
    prompt(f"routines -config {config} -start")
    found = prompt.host.repeated[0]
    assert isinstance(found, RoutineConfig)
    assert found.interval_ms == 1000
    assert prompt("routines -dump") == ['routine "statactions": running=true']
    assert prompt("routines -stop -dump") == ["routine 0 stopped", 'routine "statactions": running=false']
    assert prompt.host.repeated == {0: None}
    assert "the last one is 0" in prompt.wrong("routines -use 3")[0]


def test_routines_of_the_configuration_are_known(prompt: Prompt) -> None:
    prompt.host.configured = (RoutineConfig(interval_ms=1000),)

    assert prompt("routines -use 0 -dump") == ['routine "statactions": running=true']


# -- mover -----------------------------------------------------------------------------------------------------------


def test_mover(prompt: Prompt) -> None:
    nodes = prompt.kernel.root / "sys/devices/system/node"
    nodes.mkdir(parents=True)
    for name in ("online", "has_cpu", "has_memory"):
        (nodes / name).write_text("0-1\n")
    assert "no pages are selected" in prompt.wrong("mover -pages-to 1")[0]
    prompt("pages -pid 42")
    assert prompt("mover -pages-to 1") == []
    assert prompt("mover -pause -tasks") == [
        "0        MoverTask{pid: 42, next: 400000, page: 0 out of 14, dest: [node1]}"
    ]
    assert prompt("mover -wait") == ["mover wait received: Paused"]
    prompt("mover -continue -remove-task 0")
    assert prompt("mover -wait") == ["mover wait received: AllDone"]
    assert "there is no task 0" in prompt.wrong("mover -remove-task 0")[0]
    assert "node 7 has no memory here; there are 0, 1, and -1 for swap" in prompt.wrong("mover -pages-to 7")[0]
    prompt("mover -pages-to -1")
    assert prompt.host.carrier.queue[0].to == (-1,)


def test_mover_waits_only_so_long(prompt: Prompt) -> None:
    prompt.host.carrier.queue = [FakeTask(number=0, pid=1, next=0, total=1, to=(1,), why="the node is full")]

    assert prompt.console.run("mover -wait").again
    assert prompt.host.now == pytest.approx(1_700_000_002.0, abs=0.1)


def test_mover_configuration(prompt: Prompt) -> None:
    prompt('mover -config {"IntervalMs":20,"Bandwidth":200}')

    assert prompt("mover -config-dump") == ['{"IntervalMs": 20, "Bandwidth": 200}']
    assert 'unknown key "speed"' in prompt.wrong('mover -config {"speed":1}')[0]


@pytest.mark.parametrize("line", ["pages -pid 42", "swap -pid 42 -out"])
def test_a_process_that_exits_is_only_an_error(prompt: Prompt, line: str, tmp_path: Path) -> None:
    prompt.kernel.processes[42].exit()

    assert "/proc/42" in prompt.wrong(line)[-1] or "/proc/42" in prompt.wrong(line)[0]
