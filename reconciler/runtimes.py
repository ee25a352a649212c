"""Whether NRI is on in this node's container runtimes, from their configuration files, and the lines that switch it on.

containerd 1.7 has NRI off unless told otherwise, 2.0 and CRI-O have it on (docs/NRI.md of containerd, crio.conf(5)).
Files are read through the tree, so a captured node answers, too; nothing but the NRI tables is looked at.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sysfs.errors import KernelError
from sysfs.tree import Tree

CONTAINERD_FILES = (
    "/etc/containerd/config.toml",
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
)
CRIO_FILES = ("/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*.conf")
SOCKET = "/var/run/nri/nri.sock"
PLUGIN_PATH = "/opt/nri/plugins"
_TABLE = "io.containerd.nri.v1.nri"
CONTAINERD_LINES = (f'[plugins."{_TABLE}"]', "  disable = false", "  disable_connections = false")
CRIO_LINES = ("[crio.nri]", "enable_nri = true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    name: str  # containerd | crio
    file: str  # the configuration that decides, or would
    nri: str  # on | off | unknown
    detail: str
    lines: tuple[str, ...] = ()  # to put into `file`, when it is off
    then: str = ""  # what to do afterwards
    socket: str = SOCKET
    plugin_path: str = PLUGIN_PATH


@dataclass(slots=True)
class _Found:
    """The NRI settings of all files of one runtime together; later files win."""

    file: str
    version: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    broken: str = ""


def examine(tree: Tree, running: frozenset[str]) -> tuple[Runtime, ...]:
    """Each runtime that runs here (by command name) or has a configuration file."""
    found: list[Runtime] = []
    containerd, crio = _containerd_settings(tree), _crio_settings(tree)
    if containerd or "containerd" in running:
        found.append(_containerd(tree, containerd or _Found(CONTAINERD_FILES[0])))
    if crio or "crio" in running:
        found.append(_crio(tree, crio or _Found("/etc/crio/crio.conf.d/10-nri.conf")))
    return tuple(found)


def reduced(tree: Tree) -> dict[str, str]:
    """File -> text with the NRI settings and nothing else, for a capture: the real files may hold passwords."""
    texts: dict[str, str] = {}
    containerd, crio = _containerd_settings(tree), _crio_settings(tree)
    if containerd and not containerd.broken:
        head = f"version = {containerd.version}\n" if containerd.version else ""
        texts[containerd.file] = head + f'[plugins."{_TABLE}"]\n' + _toml(containerd.settings)
    if crio and not crio.broken:
        texts[crio.file] = "[crio.nri]\n" + _toml(crio.settings)
    return texts


def _containerd(tree: Tree, found: _Found) -> Runtime:
    socket = str(found.settings.get("socket_path", SOCKET))
    state, detail = _containerd_state(found, shown=tree.exists(socket))
    return Runtime(
        name="containerd",
        file=found.file,
        nri=state,
        detail=f"{socket} is there" if state == "on" and not detail else detail,
        lines=_containerd_lines(found) if state == "off" or found.broken else (),
        then="systemctl restart containerd" if state != "on" else "",
        socket=socket,
        plugin_path=str(found.settings.get("plugin_path", PLUGIN_PATH)),
    )


def _containerd_lines(found: _Found) -> tuple[str, ...]:
    """A file without a version is read as version 1, which does not know this table."""
    return CONTAINERD_LINES if found.version else ("version = 2", *CONTAINERD_LINES)


def _containerd_state(found: _Found, *, shown: bool) -> tuple[str, str]:
    """The first reason that applies; a socket that is there is the best proof."""
    only_own = "only plugins that containerd starts may connect"
    reasons = (
        (shown, "on", ""),
        (bool(found.broken), "unknown", f"{found.file} cannot be read: {found.broken}"),
        (found.settings.get("disable") is True, "off", f"{found.file} says disable = true"),
        (
            found.settings.get("disable_connections") is True,
            "off",
            f"{found.file} says disable_connections = true: {only_own}",
        ),
        ("disable" in found.settings, "unknown", f"{found.file} enables it, but the socket is missing: restart needed"),
        (
            found.version >= 3,
            "unknown",
            "on by default since containerd 2.0, but the socket is missing: is it running?",
        ),
        (True, "off", "off by default in containerd 1.7, and the socket is missing"),
    )
    return next((state, detail) for applies, state, detail in reasons if applies)


def _crio(tree: Tree, found: _Found) -> Runtime:
    socket = str(found.settings.get("nri_listen", SOCKET))
    enabled = found.settings.get("enable_nri")
    state, detail = "unknown", "on by default in current versions, but the socket is not there"
    if tree.exists(socket):
        state, detail = "on", f"{socket} is there"
    elif found.broken:
        detail = f"{found.file} cannot be read: {found.broken}"
    elif enabled is False:
        state, detail = "off", f"{found.file} says enable_nri = false"
    return Runtime(
        name="crio",
        file=found.file,
        nri=state,
        detail=detail,
        lines=CRIO_LINES if state == "off" or found.broken else (),
        then="systemctl restart crio" if state != "on" else "",
        socket=socket,
        plugin_path=str(found.settings.get("nri_plugin_dir", PLUGIN_PATH)),
    )


def _containerd_settings(tree: Tree) -> _Found | None:
    for file in CONTAINERD_FILES:
        if tree.exists(file):
            found = _Found(file)
            _take_containerd(tree, file, found, depth=4)
            return found
    return None


def _take_containerd(tree: Tree, file: str, found: _Found, depth: int) -> None:
    """This file's settings, then those of the files that it imports."""
    document = _document(tree, file, found)
    found.version = found.version or _integer(document.get("version"))
    settings = _table(document, "plugins", _TABLE)
    if settings:
        found.file = file
        found.settings.update(settings)
    imports = document.get("imports")
    for pattern in imports if isinstance(imports, list) and depth else ():
        absolute = str(pattern) if str(pattern).startswith("/") else f"{file.rpartition('/')[0]}/{pattern}"
        for path in _glob(tree, absolute):
            if path != file:
                _take_containerd(tree, path, found, depth - 1)


def _crio_settings(tree: Tree) -> _Found | None:
    files = [path for pattern in CRIO_FILES for path in _glob(tree, pattern)]
    if not files:
        return None
    found = _Found(files[-1])
    for file in files:
        settings = _table(_document(tree, file, found), "crio", "nri")
        if settings:
            found.file = file
            found.settings.update(settings)
    return found


def _document(tree: Tree, file: str, found: _Found) -> Mapping[str, Any]:
    try:
        return tomllib.loads(tree.read(file))
    except (KernelError, tomllib.TOMLDecodeError) as error:
        found.file, found.broken = file, str(error)
        return {}


def _table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    inner: Any = document
    for name in names:
        inner = inner.get(name, {}) if isinstance(inner, Mapping) else {}
    return inner if isinstance(inner, Mapping) else {}


def _glob(tree: Tree, pattern: str) -> Iterator[str]:
    folder, _, name = pattern.rpartition("/")
    try:
        yield from (f"{folder}/{entry}" for entry in tree.list(folder) if fnmatchcase(entry, name))
    except KernelError:
        return


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0


def _toml(settings: Mapping[str, Any]) -> str:
    """Plain values only: switches, numbers and paths without quotes in them."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, bool):
            lines.append(f"{name} = {str(value).lower()}")
        elif isinstance(value, int):
            lines.append(f"{name} = {value}")
        elif isinstance(value, str) and not {'"', "\\", "\n"} & set(value):
            lines.append(f'{name} = "{value}"')
    return "".join(f"{line}\n" for line in lines)
