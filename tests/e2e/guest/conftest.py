"""One node for all stories of a boot; when a story fails, what both processes said is shown."""

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.e2e.guest import cri, ebbtide, node, pods

DRIVER = node.Driver.SYSTEMD
LOG_LINES = 80


@pytest.fixture(scope="session")
def client() -> cri.Client:
    node.swap_on()
    node.configure(DRIVER)
    node.start_containerd()
    node.import_image()
    return cri.Client()


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


@pytest.fixture(scope="session")
def services(client: cri.Client) -> Iterator[dict[str, ebbtide.Service]]:
    """Both processes, started once: a story that ends one starts it again."""
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    found = {"daemon": ebbtide.daemon(), "nri": ebbtide.plugin()}
    for service in found.values():
        service.start()
    yield found
    for service in found.values():
        service.stop()


@pytest.fixture
def product(services: dict[str, ebbtide.Service]) -> Iterator[dict[str, ebbtide.Service]]:
    """Both processes with no classes but what the story drops."""
    yield services
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for service in (ebbtide.daemon(), ebbtide.plugin()):
            lines = service.log().splitlines()[-LOG_LINES:]
            print(f"--- {item.name}: the end of what {service.unit} said", *lines, sep="\n", flush=True)
    return report
