"""Metrics over HTTP on a socket that the service manager hands over (ebbtide-metrics.socket).

The daemon has no network of its own: inside its sandbox no internet socket can be made, but an inherited one works.
"""

import os
import socket
import threading
from socketserver import BaseServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

NAME = "metrics"  # FileDescriptorName= of the socket unit
_FIRST = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
_PATIENCE_S = 10.0  # for a client that does not speak
MOST_CLIENTS = 16  # at once; each holds a thread, and anybody on the node may come


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is http.server's
        """Scrapes are no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """Around a socket that is there already: the usual constructor would make one."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        BaseServer.__init__(self, listener.getsockname(), _Handler)
        self.socket = listener
        self.server_name, self.server_port = "ebbtide", 0
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class Scrapes:
    """Answers until it is closed."""

    def __init__(self, listener: socket.socket, registry: CollectorRegistry) -> None:
        self._server = _Server(listener)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def inherited(environment: Any = os.environ) -> socket.socket | None:
    """The socket named NAME that the service manager gave this very process, if there is one."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = int(environment.get("LISTEN_FDS", "0"))
    for offset, name in enumerate(names[:count]):
        if name == NAME:
            found = socket.socket(fileno=_FIRST + offset)
            found.setblocking(True)
            found.set_inheritable(False)
            return found
    return None
