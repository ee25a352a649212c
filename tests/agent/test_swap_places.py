"""Where a swap file may be, and that it is all on disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.agent import swap_places
from reconciler.agent.swap_places import FileSystem, Unfit, Unwanted
from sysfs import errors, swapping

MIB = 1 << 20
HEADER = b"header".ljust(4096, b"\0")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def cannot(_descriptor: int, _size: int) -> None:
    raise errors.of(OSError(errno.EOPNOTSUPP, "no"), "fallocate")


def system(magic: int = swapping.EXT, **more: Callable[..., None]) -> FileSystem:
    given = {"magic": lambda _: magic, "reserve": lambda fd, size: os.posix_fallocate(fd, 0, size)} | more
    return FileSystem(**given)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "swap"
    made.mkdir(mode=0o700)
    return made


def make(path: Path, about: FileSystem, wanted: Callable[[], bool] = lambda: True, size: int = 3 * MIB + 4096) -> None:
    swap_places.make(str(path), size, HEADER, about, wanted)


@pytest.mark.parametrize("about", [system(), system(reserve=cannot)], ids=["reserved", "zeros"])
def test_a_file_is_whole_and_only_roots(folder: Path, about: FileSystem) -> None:
    path = folder / "swap0"
    before = os.umask(0)
    try:
        make(path, about)
    finally:
        os.umask(before)
    found = path.stat()

    assert (found.st_size, found.st_mode & 0o7777) == (3 * MIB + 4096, 0o600)
    assert found.st_blocks * 512 >= found.st_size
    assert path.read_bytes() == HEADER + bytes(3 * MIB)


@pytest.mark.parametrize(("magic", "asked"), [(swapping.BTRFS, [0]), (swapping.EXT, []), (swapping.XFS, [])])
def test_btrfs_is_asked_not_to_copy_while_the_file_is_empty(folder: Path, magic: int, asked: list[int]) -> None:
    sizes: list[int] = []
    make(folder / "swap0", system(magic, stop_copying=lambda fd: sizes.append(os.fstat(fd).st_size)))

    assert sizes == asked


def test_holes_are_noticed(folder: Path) -> None:
    with pytest.raises(OSError, match="left holes"):
        make(folder / "swap0", system(reserve=os.ftruncate))


def test_nothing_that_is_there_is_overwritten(folder: Path) -> None:
    (folder / "swap0").write_text("somebody's")
    (folder / "swap1").symlink_to(folder / "target")

    for name in ("swap0", "swap1"):
        with pytest.raises(FileExistsError):
            make(folder / name, system())
    assert (folder / "swap0").read_text() == "somebody's"
    assert not (folder / "target").exists()


def test_filling_ends_when_nobody_wants_it(folder: Path) -> None:
    answers = iter([True, True, False])

    with pytest.raises(Unwanted):
        make(folder / "swap0", system(reserve=cannot), lambda: next(answers), 64 * MIB)
    assert (folder / "swap0").stat().st_size == 32 * MIB


# -- where it may not be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "name"),
    [
        (0x01021994, "tmpfs"),
        (0x794C7630, "overlayfs"),
        (0x6969, "nfs"),
        (0x2FC12FC1, "zfs"),
        (0x12345678, "a file system of kind 0x12345678"),
    ],
)
def test_other_file_systems_are_refused_by_name(folder: Path, magic: int, name: str) -> None:
    with pytest.raises(Unfit) as refused:
        swap_places.inspect(str(folder), system(magic))

    assert str(refused.value) == (
        f"{folder} is on {name}, which cannot hold swap files: set guest_swap_path to a folder on ext4, xfs, btrfs"
    )


def test_katas_path_is_refused_for_its_file_system_though_it_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="is on tmpfs, which"):
        swap_places.inspect(str(tmp_path / "kata-containers/swap"), system(0x01021994))


def linked(folder: Path) -> Path:
    (folder.parent / "link").symlink_to(folder)
    return folder.parent / "link"


def below_a_link(folder: Path) -> Path:
    return linked(folder) / "below"


def writable(folder: Path) -> Path:
    folder.chmod(0o1777)
    return folder


def by_its_group(folder: Path) -> Path:
    folder.chmod(0o770)
    return folder


def below_a_writable_one(folder: Path) -> Path:
    folder.chmod(0o777)
    return folder / "below"


def a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file"


def nowhere(folder: Path) -> Path:
    return folder / "not/there"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (linked, "/link is a symbolic link: write the path that it leads to instead"),
        (below_a_link, "/link is a symbolic link"),
        (writable, r"others may write to .*/swap \(mode 1777\): chmod go-w"),
        (by_its_group, r"others may write to .*/swap \(mode 0770\)"),
        (below_a_writable_one, r"others may write to .*/swap \(mode 0777\)"),
        (a_file, "/file is no folder that we can enter: Not a directory"),
        (nowhere, "/not does not exist: make it, or set guest_swap_path to another folder"),
    ],
)
def test_places_that_others_could_reach_are_refused(folder: Path, place: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(Unfit, match=said):
        swap_places.inspect(str(place(folder)), system())


@root_only
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder, 1234, -1)

    with pytest.raises(Unfit, match="/swap belongs to user 1234, not to root: chown root"):
        swap_places.inspect(str(folder), system())


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(Unfit, match="'swap' is not an absolute path"):
        swap_places.inspect("swap", system())


def test_a_good_place(folder: Path) -> None:
    about = os.statvfs(folder)
    room = swap_places.inspect(str(folder), system()).room_bytes

    assert swap_places.inspect(str(folder), system()).exists
    assert not swap_places.inspect(str(folder / "new"), system()).exists
    assert abs(room - about.f_bavail * about.f_frsize) < 1 << 30


def test_removal_of_what_is_gone_is_no_error(folder: Path) -> None:
    swap_places.remove(str(folder / "gone"))
    swap_places.remove(str(folder / "no/folder/either"))
    swap_places.remove_folder(str(folder / "gone"))
    (folder / "somebody's").touch()
    swap_places.remove_folder(str(folder))

    assert (folder / "somebody's").exists()


def test_removal_follows_no_link(folder: Path) -> None:
    (folder / "swap0").touch()

    with pytest.raises(errors.Busy, match="symbolic link"):
        swap_places.remove(str(linked(folder) / "swap0"))
    assert (folder / "swap0").exists()


# -- the system calls themselves, on the file system that is here ------------------------------------------------------


def test_this_file_systems_name(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        found = swapping.file_system(swapping.magic(descriptor))
    finally:
        os.close(descriptor)
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    here = max((words for words in mounts if str(folder).startswith(words[1])), key=lambda words: len(words[1]))[2]
    names = {"ext2": "ext4", "ext3": "ext4", "ext4": "ext4", "xfs": "xfs", "btrfs": "btrfs", "tmpfs": "tmpfs"}
    if here not in names:
        pytest.skip(f"nothing known about {here}")

    assert found == names[here]


def test_reserved_bytes_are_on_disk(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        try:
            swapping.reserve(file.fileno(), MIB)
        except errors.Unsupported:
            pytest.skip("no fallocate here")
        found = os.fstat(file.fileno())

    assert found.st_size == MIB
    assert found.st_blocks * 512 >= MIB


def test_swapon_of_what_is_no_swap_area(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(65536))

    with pytest.raises(errors.KernelError, match=r"\(swapon\)"):
        swapping.on(str(path))


def test_swapoff_as_a_program_says_the_errno(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert swapping.main([str(tmp_path / "gone")]) == 1
    assert capsys.readouterr().out.strip() in {str(errno.ENOENT), str(errno.EPERM)}
