"""How a verb ends when it cannot do its job: what, why, what to do next, and the exit code that says so."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. 64 and above are sysexits.h, which `systemd-analyze exit-status` knows."""

    FINE = 0
    FOUND = 1  # drift, problems, or a plain failure
    PENDING = 2  # plan: there is something to do
    STOPPED = 3  # the daemon is not running
    UNKNOWN = 4  # no such workload
    USAGE = 64
    PRIVILEGE = 77
    CONFIGURATION = 78
    INTERRUPTED = 130


class Failure(Exception):
    """Ends the verb: printed as `ebbtide: WHAT: WHY` and a `hint:` line on standard error, between them a `log`."""

    def __init__(self, what: str, why: str, *, hint: str = "", code: Exit = Exit.FOUND, log: str = "") -> None:
        super().__init__(f"{what}: {why}" if what else why)
        self.hint = hint
        self.code = code
        self.log = log
