"""On which memory nodes the pages of each region are: asked of the kernel for every page that is present."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.regions import Addresses, Regions
from reconciler.engine.site import PIECE_PAGES, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Pages of regions (rows) on nodes (columns), at one moment."""

    nodes: tuple[int, ...]  # in ascending order
    start: Addresses
    pages: NDArray[np.int64]

    def of(self, mine: Regions, nodes: Sequence[int]) -> NDArray[np.int64]:
        """For regions and nodes as they are now; 0 for those that are new since."""
        result = np.zeros((len(mine), len(nodes)), np.int64)
        if len(self.start):
            index = np.minimum(np.searchsorted(self.start, mine["start"]), len(self.start) - 1)
            same = self.start[index] == mine["start"]
            for column, node in enumerate(nodes):
                if node in self.nodes:
                    result[same, column] = self.pages[index[same], self.nodes.index(node)]
        return result


def locate(site: Site, mine: Regions, nodes: tuple[int, ...]) -> Located:
    """`nodes` in ascending order. On a single node everything is there, and nobody needs to ask."""
    start = mine["start"].copy()
    if len(nodes) < 2:
        present = mine["present"].astype(np.int64)
        return Located(nodes=nodes, start=start, pages=np.repeat(present[:, None], len(nodes), axis=1))
    pages = np.zeros(len(mine) * len(nodes), np.int64)
    numbers = np.array(nodes)
    for batches in site.pieces((start, regions.ends(mine, site.page_size)), PIECE_PAGES):
        addresses = np.concatenate([site.addresses(batch, batch.present) for batch in batches])
        status = site.pages.locate(addresses)
        known = np.isin(status, numbers)
        owner = np.searchsorted(start, addresses[known], side="right") - 1
        column = np.searchsorted(numbers, status[known])
        pages += np.bincount(owner * len(nodes) + column, minlength=len(pages))
    return Located(nodes=nodes, start=start, pages=pages.reshape(len(mine), len(nodes)))
