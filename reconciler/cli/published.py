"""What the daemon has published: status.json read back as a Report, and whether somebody still stands behind it."""

import json
import os
import socket
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from reconciler.cli.failure import Exit, Failure
from reconciler.cli.options import Options
from reconciler.report import Report

OLD_SECONDS = 120.0  # four times the resync interval
START_HINT = "start it with `ebbtide daemon`"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The last report, and why it may not be true any more ("" = the daemon runs)."""

    report: Report
    stale: str = ""


def read(options: Options, now: datetime | None = None) -> Standing:
    """The last report; a Failure with exit code 3 where there is none."""
    try:
        with open(options.status_file, encoding="utf-8") as file:
            report = load(Report, json.load(file))
    except FileNotFoundError as error:
        why = f"not running: there is no {options.status_file}"
        raise Failure("the daemon", why, hint=START_HINT, code=Exit.STOPPED) from error
    except PermissionError as error:
        raise Failure(options.status_file, "permission denied", hint="try as root", code=Exit.PRIVILEGE) from error
    except (ValueError, TypeError) as error:
        raise Failure(options.status_file, f"is no status report: {error}", code=Exit.STOPPED) from error
    return Standing(report=report, stale=_stale(report, options, now or datetime.now(tz=UTC)))


def load(kind: type[_T], document: Any) -> _T:
    """A dataclass from its JSON; keys of a newer daemon are left out, missing ones take their defaults."""
    if not isinstance(document, Mapping):
        raise TypeError(f"expected an object, not {document!r}")
    hints = get_type_hints(kind)
    known = [field.name for field in fields(cast("Any", kind)) if field.name in document]
    return kind(**{name: _value(hints[name], document[name]) for name in known})


def _value(kind: Any, value: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(member for member in get_args(kind) if member is not type(None))
        return None if value is None else _value(kind, value)
    if get_origin(kind) is tuple:
        return tuple(_value(get_args(kind)[0], item) for item in value)
    if is_dataclass(kind):
        return load(cast("type[Any]", kind), value)
    return kind(value) if isinstance(kind, type) else value


def _stale(report: Report, options: Options, now: datetime) -> str:
    if not _alive(report, options):
        return f"the daemon (pid {report.pid}) is not running; this is its last report"
    age = (now - datetime.fromisoformat(report.time)).total_seconds() if report.time else 0.0
    return f"the daemon hangs: its last cycle ended {age:.0f} s ago" if age > OLD_SECONDS else ""


def _alive(report: Report, options: Options) -> bool:
    """Ask its socket, which also works across PID namespaces; where that says nothing, look for its process."""
    with socket.socket(socket.AF_UNIX) as ends:
        try:
            ends.connect(options.socket)
        except ConnectionRefusedError:
            return False
        except OSError:  # not ours to connect to, or no socket at all
            return _same_boot(report) and os.path.exists(f"/proc/{report.pid}")
    return True


def _same_boot(report: Report) -> bool:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return report.boot_id in ("", file.read().strip())
