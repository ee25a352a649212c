"""Runs of equal pages, read from a pagemap of known entries."""

import random
from pathlib import Path

import numpy as np
import pytest

from sysfs import pagemap
from sysfs.pagemap import IS_FILE, IS_PRESENT, IS_SOFT_DIRTY, IS_SWAPPED, Pagemap
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess

BITS = {
    IS_PRESENT: pagemap.PRESENT,
    IS_SWAPPED: pagemap.SWAPPED,
    IS_FILE: pagemap.FILE,
    IS_SOFT_DIRTY: pagemap.SOFT_DIRTY,
}


@pytest.fixture
def process(tmp_path: Path) -> FakeProcess:
    return FakeProcess(tmp_path, 7)


def opened(process: FakeProcess) -> Pagemap:
    return Pagemap(FakeKernel(process.root).tree, process.write().pid)


@pytest.mark.parametrize("seed", range(8))
def test_every_page_is_in_the_run_that_describes_it(process: FakeProcess, seed: int) -> None:
    chance = random.Random(seed)
    truth = [sum(bit for bit in BITS if chance.random() < 0.5) for _ in range(64) for _ in range(1)]
    truth = [code for code in truth for _ in range(chance.randint(1, 9))]
    for page, code in enumerate(truth):
        process.pages[page] = sum((value for bit, value in BITS.items() if code & bit), start=np.uint64(12345))
    with opened(process) as file:
        runs = file.read_runs(BASE, BASE + len(truth) * PAGE)
    found = [0] * len(truth)
    for start, end, code in zip(runs.start.tolist(), runs.end.tolist(), runs.categories.tolist(), strict=True):
        for page in range((start - BASE) // PAGE, (end - BASE) // PAGE):
            found[page] = code

    assert found == [code if code & (IS_PRESENT | IS_SWAPPED) else 0 for code in truth]
    assert np.all(runs.start[1:] >= runs.end[:-1])


def test_beyond_the_end_is_nothing(process: FakeProcess) -> None:
    with opened(process) as file:
        assert len(file.entries(BASE + 4096 * PAGE, BASE + 5000 * PAGE)) == 0
        assert len(file.read_runs(BASE + 4096 * PAGE, BASE + 5000 * PAGE).start) == 0


def test_having_filters_by_what_is_said(process: FakeProcess) -> None:
    process.present(0, 4).present(4, 8, bits=int(pagemap.FILE)).swapped(8, 12)
    with opened(process) as file:
        runs = file.read_runs(BASE, BASE + 16 * PAGE)

    assert runs.having(IS_PRESENT, IS_FILE).start.tolist() == [BASE]
    assert runs.having(IS_PRESENT | IS_FILE).start.tolist() == [BASE + 4 * PAGE]
    assert runs.having(IS_SWAPPED).end.tolist() == [BASE + 12 * PAGE]
