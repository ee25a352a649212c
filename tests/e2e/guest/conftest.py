"""One node for all stories of a boot."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.guest import cri, node, pods

DRIVER = node.Driver.SYSTEMD


@pytest.fixture(scope="session")
def client() -> Iterator[cri.Client]:
    node.swap_on()
    node.configure(DRIVER)
    node.start_containerd()
    node.import_image()
    found = cri.Client()
    yield found
    found.close()


@pytest.fixture
def run_pod(client: cri.Client) -> Iterator[Callable[..., pods.Pod]]:
    """Start pods; they end with the story."""
    started: list[pods.Pod] = []

    def start(manifest: dict[str, object], driver: node.Driver = DRIVER) -> pods.Pod:
        started.append(pods.Pod(client, manifest, driver))
        return started[-1]

    yield start
    for pod in started:
        pod.stop()
