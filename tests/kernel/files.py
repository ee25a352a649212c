"""Kernel files in pyfakefs: their text is made when they are read, and a write goes to a function, not into a buffer.

pyfakefs knows `side_effect`, but that also fires on truncation and leaves what the kernel refused in the file.
"""

import errno
import io
import os
from collections.abc import Callable

from pyfakefs.fake_file import FakeFile
from pyfakefs.fake_filesystem import FakeFilesystem

from sysfs import errors
from sysfs.tree import Tree

PAGE_COUNTER_MAX = (1 << 63) - 1  # bytes; limits from here on are shown as "max"


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def read_only(_text: str) -> None:
    """Root may open a 0444 cgroup file for writing, but there is no write handler (cgroup_file_write)."""
    raise failure(errno.EINVAL)


class KernelFile(FakeFile):
    """One file: `show` gives its text, `store` takes what is written; both may raise OSError."""

    def __init__(
        self, name: str, fs: FakeFilesystem, show: Callable[[], str], store: Callable[[str], None] = read_only
    ) -> None:
        super().__init__(name, filesystem=fs, contents="")
        self.show = show
        self.store = store
        self._truncated = False
        self._was_open = False

    @property
    def byte_contents(self) -> bytes:
        """Empty from truncation until the writer is gone, or pyfakefs would lay the new text over the old one."""
        if self._truncated and self._was_open and not self._is_open():
            self._truncated = False
        return b"" if self._truncated else self.show().encode()

    def set_initial_contents(self, contents: str | bytes) -> bool:
        return False

    def set_contents(self, contents: str | bytes, encoding: str | None = None) -> bool:
        """Called by pyfakefs for truncation (the kernel ignores that) and for the text itself."""
        text = contents if isinstance(contents, str) else contents.decode()
        self._truncated = not text
        self._was_open = self._is_open()
        if text:
            self.store(text)
        return False

    def _is_open(self) -> bool:
        wrappers = (wrapper for opened in self.filesystem.open_files for wrapper in opened or ())
        return any(getattr(wrapper, "file_object", None) is self for wrapper in wrappers)


class KernelTree(Tree):
    """The door for code under test: exactly one call of `store` for each write, whatever pyfakefs does with buffers."""

    def __init__(self, fs: FakeFilesystem, root: str) -> None:
        super().__init__(root)
        self._fs = fs

        self.made: Callable[[str], None] = lambda _path: None  # the kernel fills directories that are made in tracefs
        self.streams: dict[str, io.FileIO] = {}

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        self.made(path)

    def remove_folder(self, path: str) -> None:
        """With all files in it, as in tracefs."""
        if not self._fs.exists(self.path(path)):
            raise errors.of(failure(errno.ENOENT), path)
        self._fs.remove_object(self.path(path))

    def stream(self, path: str) -> io.FileIO:
        return self.streams[path]

    def write(self, path: str, text: str) -> None:
        try:
            file = self._fs.get_object(self.path(path))
            if isinstance(file, KernelFile):
                file.store(text)
                return
        except OSError as error:
            raise errors.of(error, path) from error
        super().write(path, text)


def number(text: str) -> int:
    """memparse() and its check: base by prefix, one of KMGTPE behind it, nothing else; nothing at all is 0."""
    word = text.strip()
    shift = 10 * ("kmgtpe".index(word[-1].lower()) + 1) if word and word[-1].lower() in "kmgtpe" else 0
    digits = word[:-1] if shift else word
    if not word:
        return 0
    if not digits.isalnum():
        raise failure(errno.EINVAL)
    try:
        return int(digits, _base(digits)) << shift
    except ValueError:
        raise failure(errno.EINVAL) from None


def _base(digits: str) -> int:
    if digits[:2].lower() == "0x":
        return 16
    return 8 if digits.startswith("0") else 10


def limit(text: str, page_size: int) -> str:
    """page_counter_memparse(): "max" or bytes, rounded down to whole pages."""
    if text.strip() == "max":
        return "max"
    size = number(text)
    return "max" if size >= PAGE_COUNTER_MAX // page_size * page_size else str(size // page_size * page_size)


def switch(text: str) -> str:
    """kstrtoint() and a check for 0 or 1."""
    try:
        value = int(text.strip(), 0)
    except ValueError:
        raise failure(errno.EINVAL) from None
    if value not in {0, 1}:
        raise failure(errno.EINVAL)
    return str(value)
