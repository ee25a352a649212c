"""How long tasks have waited for memory, of workloads and of the node."""

from pathlib import Path

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
