"""sd_notify: what the service manager wants to hear. Without $NOTIFY_SOCKET every call does nothing.

RELOADING must carry MONOTONIC_USEC in the same datagram, or `systemctl reload` waits for its time-out
(systemd.service(5), Type=notify-reload).
"""

import os

import sdnotify


class ServiceManager:
    def __init__(self) -> None:
        # Without a socket to talk to the library would leave one of its own open.
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None
        self._status = ""

    def ready(self) -> None:
        self._say("READY=1")

    def reloading(self, monotonic_seconds: float) -> None:
        self._say(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1_000_000)}")

    def alive(self) -> None:
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            self._say("STATUS=" + " ".join(text.split()))

    def close(self) -> None:
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()

    def _say(self, message: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(message)


def watchdog_seconds() -> float | None:
    """The time within which the service manager wants a sign of life from this process; None = it does not watch."""
    wanted_pid = os.environ.get("WATCHDOG_PID", "")
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or (wanted_pid and wanted_pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000 or None
