"""How long tasks have waited for memory, and on which nodes it is, as far as the kernel tells."""

from pathlib import Path

import pytest

from reconciler import gather
from sysfs.tree import Tree


def test_of_workloads_and_of_the_node_as_far_as_it_is_known(tmp_path: Path) -> None:
    line = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    for path, total in {"proc/pressure/memory": 7, "cg/a/memory.pressure": 5}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(line.format(total))
    (tmp_path / "cg/broken").mkdir()
    (tmp_path / "cg/broken/memory.pressure").write_text("some total=much\n")

    found = gather.stalled(Tree(str(tmp_path)), "/cg", {"a": "/a/", "gone": "/gone", "broken": "/broken"})

    assert found == {"a": 5, "": 7}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anon N0=4096 N1=8192\nfile N0=0 N1=1\n", {"0": 4096, "1": 8193}),
        ("anon N0=4096\nfile N0=1\n", {}),
        ("anon N0=many N1=1\n", {}),
        (None, {}),
    ],
)
def test_nodes_only_where_there_are_several(tmp_path: Path, text: str | None, found: dict[str, int]) -> None:
    (tmp_path / "cg/a").mkdir(parents=True)
    if text is not None:
        (tmp_path / "cg/a/memory.numa_stat").write_text(text)

    assert gather.on_nodes(Tree(str(tmp_path)), "/cg", "/a") == found
