"""What the node has: memory, swap of ours and of others, and whether more of ours could be made."""

import os
from collections.abc import Mapping
from dataclasses import replace

from reconciler.agent import swap_crowds, swap_places, swap_rules
from reconciler.agent.swap_making import Made, Maker
from reconciler.agent.swap_places import FileSystem
from reconciler.agent.swap_rules import Area, Seen
from reconciler.agentconfig import SwapConfig, SwapKind
from sysfs import meminfo, swap, zram
from sysfs.swap import Device
from sysfs.tree import Tree

_NO_ZRAM = "this kernel has no zram, or its module is not loaded: modprobe zram, and name it in /etc/modules-load.d"


class Sight:
    """`default`: the folder of swap files if none is configured; `mount`: of cgroup v2, "" without."""

    def __init__(self, tree: Tree, mount: str, default: str, maker: Maker, system: FileSystem) -> None:
        self._tree, self._mount, self._default, self._maker, self._system = tree, mount, default, maker, system

    def devices(self) -> dict[str, Device]:
        """All areas that are in use, by their names without folder: who runs in a container may see another one."""
        return {os.path.basename(each.name): each for each in swap.read(self._tree).devices}

    def folder(self, config: SwapConfig | None) -> str:
        """Of the swap files that are wanted."""
        if config is None or config.kind is not SwapKind.FILE:
            return ""
        return os.path.normpath(config.guest_swap_path) if config.guest_swap_path else self._default

    def seen(self, config: SwapConfig | None, devices: Mapping[str, Device]) -> Seen:
        """Cgroups are read only if something may have to come back into them."""
        memory, made = meminfo.read(self._tree), self._maker.made()
        others = [devices[name] for name in devices.keys() - {each.name for each in made}]
        refusal, room = self._judged(config)
        seen = Seen(
            memory_bytes=memory["MemTotal"],
            available_bytes=memory.get("MemAvailable", memory.get("MemFree", 0)),
            areas=tuple(self._area(config, each, devices[each.name]) for each in made if each.name in devices),
            other_bytes=sum(each.size_bytes for each in others),
            other_used_bytes=sum(each.used_bytes for each in others),
            room_bytes=room,
            refusal=refusal,
        )
        if not any(area.used_bytes for area in swap_rules.surplus(config, seen)):
            return seen
        return replace(seen, crowds=swap_crowds.read(self._tree, self._mount))

    def _area(self, config: SwapConfig | None, made: Made, device: Device) -> Area:
        """With the size that it was made with: the kernel does not count the header."""
        wanted = config is not None and made.kind is config.kind
        if made.kind is SwapKind.FILE:
            wanted = wanted and os.path.dirname(made.path) == self.folder(config)
        return Area(name=made.name, size_bytes=made.size_bytes, used_bytes=device.used_bytes, wanted=wanted)

    def _judged(self, config: SwapConfig | None) -> tuple[str, int | None]:
        """Why nothing can be made, and how many bytes are free for files."""
        if config is None:
            return "", None
        if config.kind is SwapKind.ZRAM:
            return ("" if zram.supported(self._tree) else _NO_ZRAM), None
        try:
            return "", swap_places.inspect(self.folder(config), self._system).room_bytes
        except swap_places.Unfit as error:
            return str(error), None
