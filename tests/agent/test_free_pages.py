"""Free blocks by order: what the kernel prints, what it does not count, and what is read where it says nothing."""

from pathlib import Path

import pytest

from sysfs import free_pages, meminfo
from sysfs.errors import Gone
from sysfs.free_pages import Free, Pages, Zone
from sysfs.tree import Tree

PAGETYPEINFO = """\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 
Node    0, zone      DMA, type    Unmovable      0      0      0      0      0      0      0      0      1      0      0 
Node    0, zone      DMA, type      Movable      0      0      0      0      0      0      0      0      0      1      3 
Node    0, zone    DMA32, type    Unmovable     90     80      0      0      0      0      0      0      0      0      0 
Node    0, zone    DMA32, type      Movable >100000   7402      2      1      0      0      0      0      0      0    704 
Node    0, zone    DMA32, type  Reclaimable     17      9      0      0      0      0      0      0      0      0      0 
Node    0, zone    DMA32, type   HighAtomic      0      0      0      0      0      0      0      0      0      0      0 
Node    0, zone    DMA32, type          CMA      5      5      5      5      0      0      0      0      0      0      0 
Node    2, zone   Normal, type      Movable      3      2      1 > 99999      0      0      0      0      0  12345      9 

Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic          CMA      Isolate 
Node 0, zone      DMA            1            7            0            0            0            0 
Node 0, zone    DMA32            6         1520            2            0            0            0 
"""  # noqa: E501, W291  the kernel ends its lines so
BUDDYINFO = """\
Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      3 
Node 1, zone   Normal   5496   1167   1247    253     70     29     16     19    149      2   1833 
"""  # noqa: W291  the kernel ends its lines so


def tree(root: Path, **files: str) -> Tree:
    (root / "proc").mkdir()
    for name, text in files.items():
        (root / "proc" / name).write_text(text)
    return Tree(root)


def test_only_movable_memory_is_counted(tmp_path: Path) -> None:
    found = free_pages.read(tree(tmp_path, pagetypeinfo=PAGETYPEINFO, buddyinfo=BUDDYINFO))

    assert found.why_all == ""
    assert found.zones == (
        Zone(node=0, name="DMA", blocks=(0,) * 9 + (1, 3)),
        Zone(node=0, name="DMA32", blocks=(100000, 7402, 2, 1, 0, 0, 0, 0, 0, 0, 704), at_least=frozenset({0})),
        Zone(node=2, name="Normal", blocks=(3, 2, 1, 99999, 0, 0, 0, 0, 0, 12345, 9), at_least=frozenset({3})),
    )


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (0, {0: Pages(), 2: Pages()}),
        (1, {0: Pages(number=100_000, at_least=True), 2: Pages(number=3)}),
        (3, {0: Pages(number=100_000 + 2 * 7402 + 4 * 2, at_least=True), 2: Pages(number=3 + 4 + 4)}),
        (9, {0: Pages(number=114_820, at_least=True), 2: Pages(number=11 + 8 * 99_999, at_least=True)}),
        (
            10,
            {
                0: Pages(number=114_820 + 512, at_least=True),
                2: Pages(number=11 + 8 * 99_999 + 512 * 12_345, at_least=True),
            },
        ),
        (
            99,
            {
                0: Pages(number=114_820 + 512 + 1024 * 707, at_least=True),
                2: Pages(number=11 + 8 * 99_999 + 512 * 12_345 + 1024 * 9, at_least=True),
            },
        ),
    ],
)
def test_small_blocks_are_summed_by_node(order: int, expected: dict[int, Pages]) -> None:
    assert free_pages.below(free_pages.parse(PAGETYPEINFO), order) == expected


def test_without_types_all_memory_is_counted_and_the_reason_said(tmp_path: Path) -> None:
    found = free_pages.read(tree(tmp_path, buddyinfo=BUDDYINFO))

    assert [(zone.node, zone.name, sum(zone.blocks)) for zone in found.zones] == [(0, "DMA", 5), (1, "Normal", 10281)]
    assert found.why_all == "[Errno 2] No such file or directory: '/proc/pagetypeinfo'"


def test_a_kernel_that_tells_neither_says_so(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="/proc/buddyinfo"):
        free_pages.read(Tree(tmp_path))


@pytest.mark.parametrize("text", ["", "Node 0, zone Normal, type Movable\n", "Node x, zone Normal, type Movable 1 2\n"])
def test_what_is_no_row_is_nothing(text: str) -> None:
    assert tuple(free_pages.parse(text)) == ()


def test_nothing_free_is_nothing(tmp_path: Path) -> None:
    assert free_pages.read(tree(tmp_path, pagetypeinfo="")) == Free(zones=())


def test_meminfo_is_in_bytes(tmp_path: Path) -> None:
    text = "MemTotal:  1024 kB\nMemFree:    3 kB\nHugePages_Total:       7\nodd\n"

    assert meminfo.read(tree(tmp_path, meminfo=text)) == {"MemTotal": 1 << 20, "MemFree": 3072, "HugePages_Total": 7}


def test_this_kernel_is_understood() -> None:
    """Who may not read the types sees all memory, in the same shape."""
    zones = free_pages.read(Tree("/")).zones

    assert zones
    assert all(len(zone.blocks) > 8 for zone in zones)
