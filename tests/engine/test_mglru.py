"""MGLRU's generations: what the kernel writes, how aging answers, and the tracker on top of them."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import processes
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.processes import Surveyor
from reconciler.engine.trackers.beside import Beside
from reconciler.engine.trackers.mglru import Mglru
from reconciler.engine.trackers.stub import Stub
from reconciler.engine.trackers.tracker import Means
from reconciler.engineconfig import TrackerConfig
from reconciler.model import Features
from reconciler.report import AgeBin
from sysfs import mglru
from sysfs.errors import Gone, Rejected
from sysfs.mglru import Lruvec
from sysfs.tree import Tree
from tests.agent.fake_lru import FILE, FakeLru

# As Linux 6.12 writes it; 7.0 has longer ids, and offline cgroups may show.
TEXT = """memcg     1 /
 node     0
          0     900000          7         12
          1       5000          0          1
memcg 28123 /shop/db 1
 node     0
          4       4176      24586           0
          5       3132          0           3
 node     1
          4       4176         10           0
          5       3132          0           0
memcg   901 /shop/db 1/inner
 node     0
          2       2000          5           0
          3       1000          1           0
memcg   902 /shop/dbx
 node     0
          2       2000          99          0
          3       1000          1           0
"""


class LruTree(Tree):
    """A debugfs file that ages when it is told the youngest generation, and refuses any other as the kernel does."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.text, self.written, self.racing = TEXT, list[str](), 0

    def read(self, path: str) -> str:
        assert path == mglru.GENERATIONS
        return self.text

    def write(self, path: str, text: str) -> None:
        assert path == mglru.GENERATIONS
        self.written.append(text)
        if self.racing:
            self.racing -= 1
            self.text = self.text.replace("          5       3132", "          6       3132")
            raise Rejected(errno.EINVAL, "Invalid argument", path)


@pytest.fixture
def tree(tmp_path: Path) -> LruTree:
    return LruTree(tmp_path)


def test_the_kernels_text_becomes_amounts_by_cgroup_and_node() -> None:
    found = list(mglru.parse(TEXT))

    assert [(each.memcg, each.path, each.node, each.youngest) for each in found] == [
        (1, "/", 0, 1),
        (28123, "/shop/db 1", 0, 5),
        (28123, "/shop/db 1", 1, 5),
        (901, "/shop/db 1/inner", 0, 3),
        (902, "/shop/dbx", 0, 3),
    ]
    assert found[1].generations[0] == mglru.Generation(number=4, age_ms=4176, anon_pages=24586, file_pages=0)


@pytest.mark.parametrize("text", ["", "memcg 1 /\n", "memcg 1 /\n node 0\n", "nonsense\n 1 2\n"])
def test_what_holds_no_generation_is_nothing(text: str) -> None:
    assert list(mglru.parse(text)) == []


WILD = r"""memcg 18446744073709551615 /system.slice/a\x2db.service
 node     0
          4       4176         -0         -12
          5       3132          7           8 ~
memcg     0 /ended
 node     1
          1          5          1           1
memcg   x77 /broken
 node     0
          9          9          9           9
memcg     8 /two words  and blanks ~
 node     x
          9          9          9           9
 node     3
          4         oh          9           9
          5         -1          2           3
something else
          6          0          4           5
memcg     9 /last
""".replace("~", "")


def test_a_line_that_is_wrong_loses_nothing_but_what_belongs_to_it() -> None:
    found = list(mglru.parse(WILD))

    assert [(each.memcg, each.path, each.node) for each in found] == [
        (18446744073709551615, r"/system.slice/a\x2db.service", 0),
        (0, "/ended", 1),
        (8, "/two words  and blanks ", 3),
    ]
    assert [(each.anon_pages, each.file_pages) for each in found[0].generations] == [(0, 0), (7, 8)]
    assert [(each.number, each.age_ms) for each in found[2].generations] == [(5, 0), (6, 0)]
    assert (found[2].oldest.number, found[2].youngest, found[2].pages) == (5, 6, 14)


@pytest.mark.parametrize("text", [TEXT, WILD, "", "memcg     0 \n node 0\n 1 2 3 4\n"])
@pytest.mark.parametrize("paths", [(), ("/",), ("/shop/db 1",), ("/", "/ended", "/two words  and blanks "), ("/no",)])
def test_reading_a_few_is_reading_all_and_leaving_out(tree: LruTree, text: str, paths: tuple[str, ...]) -> None:
    tree.text = text

    assert mglru.read(tree, paths) == tuple(each for each in mglru.read(tree) if each.path in paths)


@given(st.text(alphabet="memcgnode 0123456789-/x\n", max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    for each in mglru.parse(text + "\n" + TEXT):
        assert each.generations
        assert all(one.anon_pages >= 0 and one.file_pages >= 0 for one in each.generations)
    assert list(mglru.parse(text + "\n" + TEXT))[-5:] == list(mglru.parse(TEXT))


def test_aging_that_loses_a_race_reads_again(tree: LruTree) -> None:
    tree.racing = 1
    mglru.age(tree, mglru.read(tree)[1])

    assert tree.written == ["+ 28123 0 5 1 1", "+ 28123 0 6 1 1"]


def test_aging_gives_up_on_an_endless_race_and_on_a_cgroup_that_is_gone(tree: LruTree) -> None:
    wanted = mglru.read(tree)[1]
    tree.racing = 100
    with pytest.raises(Rejected):
        mglru.age(tree, wanted)
    assert len(tree.written) == 3

    tree.text = ""
    with pytest.raises(Rejected, match="has no memory cgroup /shop/db 1 any more"):
        mglru.age(tree, wanted)


def test_aging_without_swap_passes_over_anonymous_memory(tree: LruTree) -> None:
    mglru.age(tree, mglru.read(tree)[0], swap=False)

    assert tree.written == ["+ 1 0 1 0 1"]


def test_who_follows_under_the_same_path_is_not_aged_in_its_place(tree: LruTree) -> None:
    wanted, tree.racing = mglru.read(tree)[1], 1
    tree.text = TEXT.replace("28123", "28999")
    with pytest.raises(Rejected, match="any more"):
        mglru.age(tree, wanted)


def test_eviction_names_generation_swappiness_and_amount() -> None:
    kernel = FakeLru()
    wanted = grown(kernel)
    mglru.evict(kernel, wanted, wanted.oldest.number, 0, 100)

    assert kernel.commands("-") == [f"- {wanted.memcg} 0 {wanted.oldest.number} 0 100"]
    assert kernel.groups["/shop"].lruvec().total(FILE) == 1000 - 128, "two batches of 64"


@pytest.mark.parametrize(("up", "swappiness", "pages"), [(2, 0, 1), (0, -1, 1), (0, 201, 1), (0, 0, 0)])
def test_what_the_kernel_would_refuse_is_not_asked(up: int, swappiness: int, pages: int) -> None:
    kernel = FakeLru()
    wanted = grown(kernel)
    with pytest.raises(Rejected):
        mglru.evict(kernel, wanted, wanted.oldest.number + up, swappiness, pages)

    assert kernel.commands("-") == []


def grown(kernel: FakeLru) -> Lruvec:
    kernel.cgroup("/shop", file=1000)
    for _ in range(3):
        mglru.age(kernel, mglru.read(kernel)[1])
    return mglru.read(kernel)[1]


@pytest.mark.parametrize(("text", "expected"), [("0x0007\n", 7), ("0x0000", 0), ("7", 7), ("maybe", None), ("", None)])
def test_switches_are_a_number(tree: LruTree, text: str, expected: int | None) -> None:
    tree.read = lambda path: text  # type: ignore[method-assign]
    if expected is None:
        with pytest.raises(Rejected, match="not a number"):
            mglru.enabled(tree)
    else:
        assert mglru.enabled(tree) == expected


def means(tree: Tree) -> Means:
    return Means(
        tree=tree,
        surveyor=Surveyor(tree, frozenset({1}), 512, 4096, scan=False),
        config=TrackerConfig(name="mglru"),
        features=Features(kernel="fake", page_size=4096, cgroup_mount="/cg"),
        clock=lambda: 0.0,
        directories=lambda: ("/cg/shop/db 1",),
    )


def tracker(tree: Tree) -> Mglru:
    return Mglru(means(tree))


def test_the_tracker_ages_its_own_cgroups_and_says_how_old_what_is(tree: LruTree) -> None:
    mine = tracker(tree)
    mine.finish()

    assert tree.written == ["+ 28123 0 5 1 1", "+ 28123 1 5 1 1", "+ 901 0 3 1 1"]
    assert mine.amounts()[:2] == (
        AgeBin(cgroup="/shop/db 1", node=0, age_ms=0, anon_pages=0, file_pages=3),
        AgeBin(cgroup="/shop/db 1", node=0, age_ms=3132, anon_pages=24586, file_pages=0),
    )
    assert {each.cgroup for each in mine.amounts()} == {"/shop/db 1", "/shop/db 1/inner"}
    assert AccessedTable(amounts=mine.amounts()).amount_lines() == [
        "table: amounts of memory by time since last access (MGLRU)",
        "lastaccs>=[s]  anon[pages]  file[pages]   mem[G]",
        "        0.000            1            3    0.000",
        "        1.000            5            0    0.000",
        "        3.132        24596            0    0.094",
    ]


def test_the_tracker_vouches_for_no_region(tree: LruTree) -> None:
    seen = tracker(tree).look(processes.adopt((50, 1, ())))

    assert len(seen.accessed) == 0


def test_beside_another_tracker_it_adds_amounts_and_takes_nothing(tree: LruTree) -> None:
    both = Beside(Stub(means(tree)), means(tree))
    both.finish()

    assert len(tree.written) == 3
    assert both.amounts() == tracker(tree).amounts() != ()
    assert both.note == ""


def test_without_amounts_the_other_tracker_goes_on(tree: LruTree, tmp_path: Path) -> None:
    both = Beside(Stub(means(tree)), means(Tree(tmp_path)))
    both.finish()

    assert both.amounts() == ()
    assert both.note.startswith("amounts by age cannot be read")

    later = Beside(Stub(means(tree)), means(tree))
    tree.read = Tree(tmp_path).read  # type: ignore[method-assign]
    later.finish()

    assert later.note.startswith("amounts by age cannot be read")


def test_a_cgroup_that_goes_meanwhile_is_normal(tree: LruTree) -> None:
    mine = tracker(tree)
    tree.racing = 100
    mine.finish()

    assert len(tree.written) == 9, "three tries each, then the next cgroup"


def test_without_debugfs_the_loop_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="lru_gen"):
        tracker(Tree(tmp_path))
