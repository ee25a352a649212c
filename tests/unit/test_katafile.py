"""Kata's configuration.toml as a class file: keys, values that cannot hold, and what is said about them."""

import textwrap

import pytest

from reconciler import classes, katafile, schemas
from reconciler.agentconfig import NEVER, CompactConfig, MemcgConfig, MemcgProfile, SwapConfig
from reconciler.classes import ClassText
from reconciler.model import ClassTable

WHOLE = """\
[hypervisor.dragonball]
path = "/usr/bin/dragonball"
reclaim_guest_freed_memory = true
enable_guest_swap = true
guest_swap_path = "/run/kata-containers/swap"
guest_swap_size_percent = 50
guest_swap_create_threshold_secs = 30

[agent.kata]
debug = true

[agent.kata.mem_agent]
mem_agent_enable = true
memcg_disable = false
memcg_swap = true
memcg_swappiness_max = 60
memcg_period_secs = 300
memcg_period_psi_percent_limit = 2
memcg_eviction_psi_percent_limit = 3
memcg_eviction_run_aging_count_min = 4
compact_disable = false
compact_period_secs = 301
compact_period_psi_percent_limit = 5
compact_psi_percent_limit = 6
compact_sec_max = 180
compact_order = 10
compact_threshold = 2048
compact_force_times = 9223372036854775807
"""


def convert(text: str) -> katafile.Conversion:
    return katafile.convert(textwrap.dedent(text), "configuration.toml")


def table(text: str) -> ClassTable:
    """What the result means: it never has a problem."""
    file = ClassText(path="kata.yaml", name="kata.yaml", text=convert(text).text)
    loaded = classes.load([file], schemas.load())
    assert loaded.problems == ()
    return loaded.table


def notes(text: str) -> list[tuple[str, int, str]]:
    return [(each.key, each.line, each.why) for each in convert(text).notes]


def test_every_key_is_taken_over() -> None:
    found = table(WHOLE)

    assert found.memcg == MemcgConfig(
        profile=MemcgProfile(
            swap=True,
            swappiness_max=60,
            period_secs=300,
            period_psi_percent_limit=2,
            eviction_psi_percent_limit=3,
            eviction_run_aging_count_min=4,
        )
    )
    assert found.compact == CompactConfig(
        period_secs=301,
        period_psi_percent_limit=5,
        compact_psi_percent_limit=6,
        compact_sec_max=180,
        compact_order=10,
        compact_threshold=2048,
        compact_force_times=NEVER,
    )
    assert found.swap == SwapConfig(
        enable_guest_swap=True, guest_swap_size_percent=50, guest_swap_create_threshold_secs=30
    )
    assert convert(WHOLE).taken == 8 + 8 + 2


def test_what_is_not_taken_over_is_explained_with_its_line() -> None:
    assert [(key, line) for key, line, _ in notes(WHOLE)] == [("reclaim_guest_freed_memory", 3), ("guest_swap_path", 5)]
    assert "# - guest_swap_path (line 5): /run/kata-containers/swap: /run is kept in memory" in convert(WHOLE).text


def test_a_mem_agent_that_is_only_enabled_has_all_defaults() -> None:
    found = table("[agent.kata.mem_agent]\nmem_agent_enable = true\n")

    assert (found.memcg, found.compact, found.swap) == (MemcgConfig(), CompactConfig(), None)


@pytest.mark.parametrize("enable", ["", "mem_agent_enable = false", "mem_agent_enable = 1"])
def test_a_mem_agent_that_is_not_enabled_stays_off(enable: str) -> None:
    text = f"[agent.kata.mem_agent]\n{enable}\nmemcg_disable = false\nmemcg_swap = true\n"
    found = table(text)

    assert found.memcg == MemcgConfig(profile=MemcgProfile(swap=True, disabled=True))
    assert found.compact == CompactConfig(disabled=True)
    assert [why for _, _, why in notes(text)] == ["is not true, so both parts are disabled here, too"]


def test_values_that_cannot_hold_are_left_out_with_the_reason() -> None:
    text = """\
        [agent.kata.mem_agent]
        mem_agent_enable = true
        memcg_swappiness_max = 255
        memcg_period_secs = 0
        memcg_swapp = true
        compact_order = "nine"
        """

    assert table(text).memcg == MemcgConfig()
    assert notes(text) == [
        ("memcg_swapp", 5, 'mem-agent has no such key; did you mean "memcg_swap"?'),
        ("memcg_swappiness_max", 3, "255 is too large; the most is 200; left out, so that the default holds"),
        ("memcg_period_secs", 4, "0 is too small; the least is 1; left out, so that the default holds"),
        (
            "compact_order",
            6,
            'must be a whole number, not the text "nine"; left out, so that the default holds',
        ),
    ]


def test_of_several_hypervisors_the_one_that_swaps_counts() -> None:
    text = """\
        [hypervisor.qemu]
        guest_swap_size_percent = 10
        kernel_params = "quiet agent.mem_agent_enable=1"
        [hypervisor.clh]
        enable_guest_swap = true
        guest_swap_path = "/var/swap"
        """

    assert table(text).swap == SwapConfig(enable_guest_swap=True, guest_swap_path="/var/swap")
    assert [(key, line) for key, line, _ in notes(text)] == [("kernel_params", 3), ("qemu", 1)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[agent.kata\n", "not valid TOML: "),
        ("a = 1\n", "has neither [agent.kata.mem_agent] nor guest swap keys"),
        ("hypervisor = 5\n[agent]\nkata = 5\n", "has neither"),
        ("[agent.kata.mem_agent]\n", "has neither"),
    ],
)
def test_files_that_say_nothing_of_memory(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + why.replace("[", r"\[").replace("]", r"\]")):
        convert(text)


def test_a_strangers_file_cannot_forge_a_line() -> None:
    text = '[agent.kata.mem_agent]\nmem_agent_enable = true\n"memcg\\nclasses: []" = "\\n"\ncompact_order = "\\nx: 1"\n'

    assert table(text).compact == CompactConfig()
