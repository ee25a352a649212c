"""Questions of a verb to the running daemon, whose errors become a Failure with words and an exit status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli import options, published, select
from reconciler.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from reconciler.control.client import Client


@contextmanager
def daemon(common: options.Options, about: str, *, hint: str = "", timeout: float = 10.0) -> Iterator["Client"]:
    """A client; `about` is what messages begin with, `hint` what to do about something that is not there."""
    from reconciler.control import client  # gRPC is heavy

    try:
        with client.Client(common.socket, timeout) as ends:
            yield ends
    except client.Unknown as error:
        raise Failure(about, str(error), hint=hint, code=Exit.UNKNOWN) from error
    except client.Wrong as error:
        raise Failure(about, str(error), code=Exit.USAGE) from error
    except client.Busy as error:
        raise Failure(about, str(error)) from error
    except client.Forbidden as error:
        raise Failure("the daemon", str(error), hint="try as root", code=Exit.PRIVILEGE) from error
    except client.Unavailable as error:
        raise Failure("the daemon", str(error), hint=published.START_HINT, code=Exit.STOPPED) from error


def workload(common: options.Options, word: str) -> str:
    """The id of the one that is meant."""
    standing = published.read(common)
    return select.one({row.id: row.name for row in standing.report.workloads}, word)
