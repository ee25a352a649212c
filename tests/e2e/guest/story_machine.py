"""The ground that the other stories stand on: pods run, their cgroups exist, pages can be paged out."""

from collections.abc import Callable

from tests.e2e.guest import memory, pods


def test_a_pod_of_three_containers_runs(run_pod: Callable[..., pods.Pod]) -> None:
    pod = run_pod(pods.example())
    pod.start()
    for name in ("tidy", "measured", "alone"):
        container = pod[name]
        assert container.cgroup.name == f"cri-containerd-{container.id}.scope"
        assert container.knob("memory.max") == "max"
        seen = memory.pages(container.pid, container.truth)
        print(f"  {name}: {container.cgroup} pid {container.pid} {seen}")
        assert seen.present == seen.total
        assert seen.swapped == 0


def test_memory_reclaim_swaps_to_compressed_memory(run_pod: Callable[..., pods.Pod]) -> None:
    pod = run_pod(pods.example())
    pod.start("alone")
    (pod["alone"].cgroup / "memory.reclaim").write_text("32M", encoding="ascii")
    assert memory.status_bytes(pod["alone"].pid, "VmSwap") > 8 << 20
