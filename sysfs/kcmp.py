"""kcmp(2): whether two processes have one and the same memory (CLONE_VM without CLONE_THREAD, vfork)."""

import ctypes
import errno
import os
import platform

from sysfs import errors

_KCMP_VM = 1
# Older than the numbers that all architectures share; those who begin later take the generic one.
_NUMBERS = {"x86_64": 312, "s390x": 343, "ppc64le": 354, "ppc64": 354, "armv7l": 378, "i686": 349}
_GENERIC = {"aarch64": 272, "riscv64": 272, "loongarch64": 272}
_NUMBER = {**_NUMBERS, **_GENERIC}.get(platform.machine(), 0)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def same_memory(one: int, other: int) -> bool:
    """`Unsupported` without CONFIG_KCMP, `Refused` without the right to trace both."""
    if not _NUMBER:
        raise errors.of(OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)), f"kcmp on {platform.machine()}")
    zero = ctypes.c_ulong(0)
    result = int(_libc.syscall(ctypes.c_long(_NUMBER), one, other, _KCMP_VM, zero, zero))
    if result < 0:
        code = ctypes.get_errno()
        raise errors.of(OSError(code, os.strerror(code)), f"processes {one} and {other} (kcmp)")
    return result == 0
