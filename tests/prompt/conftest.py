"""A prompt on a fake host, with a process that has memory of every kind."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.memtierd.console import Console
from tests.cli.node import Node
from tests.engine.fake_process import FakeKernel, FakeProcess
from tests.prompt.fake_host import FakeHost

PID = 42
HEAP = "rw-p 00000000 00:00 0 [heap]"
ANON = "rw-p 00000000 00:00 0"
FILE = "r--p 00000000 08:01 99 /usr/bin/app"


@dataclass
class Prompt:
    host: FakeHost
    console: Console

    @property
    def kernel(self) -> FakeKernel:
        return self.host.kernel

    def __call__(self, line: str) -> list[str]:
        """The lines of an answer that must be right."""
        answer = self.console.run(line)
        assert answer.ok, answer.text
        return answer.text.splitlines()

    def wrong(self, line: str) -> list[str]:
        """The lines of an answer that must be an error."""
        answer = self.console.run(line)
        assert not answer.ok, answer.text
        return answer.text.splitlines()


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    kernel = FakeKernel(tmp_path)
    process = FakeProcess(tmp_path, PID).map(0, 16, HEAP).map(20, 52, ANON).map(60, 64, FILE)
    process.present(0, 4).present(20, 28).present(28, 30, bits=0).present(30, 32, bits=1 << 56 | 1 << 55)
    kernel.add(process.swapped(40, 48).present(60, 64, bits=1 << 61))
    host = FakeHost(kernel)
    return Prompt(host, Console(host))


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Node:
    for folder in ("state", "run"):
        (tmp_path / folder).mkdir()
    return Node(tmp_path, capsys)
