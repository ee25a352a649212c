"""The five ways in which the kernel says no. Everything that `sysfs` raises is one of them."""

import errno


class KernelError(OSError):
    """The kernel refused an access. `str()` names the path and the kernel's own word for it."""

    def __str__(self) -> str:
        """Without a number where the kernel gave none."""
        return super().__str__() if self.errno is not None or not self.filename else f"{self.filename}: {self.strerror}"


class Gone(KernelError):
    """The process, cgroup or file is not there (any more): normal life."""


class Refused(KernelError):
    """Not allowed: a privilege is missing."""


class Rejected(KernelError):
    """The kernel says the value is wrong; trying it again will not help."""


class Busy(KernelError):
    """Not now: try again later."""


class Unsupported(KernelError):
    """This kernel does not have it."""


_KINDS: dict[int, type[KernelError]] = {
    errno.ENOENT: Gone,
    errno.ESRCH: Gone,
    errno.ENODEV: Gone,  # a cgroup file whose cgroup was removed while it was open
    errno.ENOTDIR: Gone,
    errno.EPERM: Refused,
    errno.EACCES: Refused,
    errno.EROFS: Refused,
    errno.EINVAL: Rejected,
    errno.ERANGE: Rejected,
    errno.EBUSY: Busy,
    errno.EAGAIN: Busy,
    errno.EINTR: Busy,
    errno.ENOMEM: Busy,
    errno.EIO: Busy,
    errno.EMFILE: Busy,
    errno.ENFILE: Busy,
    errno.ENOSYS: Unsupported,
    errno.ENOTTY: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
    errno.ENXIO: Unsupported,
}


def of(error: OSError, path: str) -> KernelError:
    """The same error as one of the five; an errno that nobody listed is `Busy`, because waiting is never harmful."""
    kind = _KINDS.get(error.errno or 0, Busy)
    return kind(error.errno, error.strerror or str(error), path)
