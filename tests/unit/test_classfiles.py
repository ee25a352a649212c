"""Which class files count, and which are refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import classfiles


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The administrator's directory and the packages'."""
    before = os.umask(0o022)
    for name in ("etc", "usr"):
        (tmp_path / name).mkdir()
    yield str(tmp_path / "etc"), str(tmp_path / "usr")
    os.umask(before)


def put(folder: str, name: str, text: str | bytes = "mode: act\n") -> Path:
    path = Path(folder, name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def paths(*found: classfiles.ClassText) -> list[str]:
    return ["/".join(one.path.split("/")[-2:]) for one in found]


def trouble(path: Path) -> tuple[str, str]:
    (found,) = classfiles.read((), [str(path)])
    assert found.problem is not None
    assert found.text == ""
    return found.problem.message, found.problem.hint


def test_what_was_handed_to_the_plugin_is_above_all_drop_ins(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "etc"
    (state / "classes.d").mkdir(parents=True)
    folder.mkdir()
    put(str(folder), "zz-site.yaml", "classes: []\n")
    put(str(state / "classes.d"), "10-a.yaml", classfiles.handed("classes: []", "now"))

    assert paths(*classfiles.installed(state, (str(folder),), "now")) == ["etc/zz-site.yaml", "classes.d/10-a.yaml"]


def test_what_was_handed_to_the_plugin_holds_on_that_boot_only(tmp_path: Path) -> None:
    """The plugin may be gone since: nobody would ever remove it."""
    folder = tmp_path / "classes.d"
    folder.mkdir()
    put(str(folder), "zz-nri-10-ebbtide.yaml", classfiles.handed("classes: []\n", "then"))
    put(str(folder), "50-mine.yaml", "classes: []\n")
    put(str(folder), "zz-nri-11-x.yaml", classfiles.handed("classes: []\n", "then", of_root=True))

    assert paths(*classfiles.installed(tmp_path, (), "now")) == ["classes.d/50-mine.yaml"]
    assert len(classfiles.installed(tmp_path, (), "then")) == 3


def test_same_name_in_a_higher_directory_replaces_and_the_rest_is_sorted_by_name(folders: tuple[str, str]) -> None:
    etc, usr = folders
    put(etc, "60-b.yaml")
    put(etc, "10-a.yaml", "# mine\n")
    put(usr, "10-a.yaml", "# theirs\n")
    put(usr, "70-c.yml")
    put(usr, "20-d.yaml")

    found = classfiles.read(folders)

    assert paths(*found) == ["etc/10-a.yaml", "usr/20-d.yaml", "etc/60-b.yaml", "usr/70-c.yml"]
    assert found[0].text == "# mine\n"
    assert [(one.path[-13:], one.by[-13:], one.masked) for one in classfiles.shadowed(folders)] == [
        ("usr/10-a.yaml", "etc/10-a.yaml", False)
    ]


@pytest.mark.parametrize("how", ["empty", "link", "link to a link"])
def test_an_empty_file_or_a_link_to_dev_null_masks(folders: tuple[str, str], how: str, tmp_path: Path) -> None:
    etc, usr = folders
    put(usr, "10-a.yaml")
    mask = Path(etc, "10-a.yaml")
    if how == "empty":
        mask.touch()
    elif how == "link":
        mask.symlink_to(os.devnull)
    else:
        (tmp_path / "null").symlink_to(os.devnull)
        mask.symlink_to(tmp_path / "null")

    assert classfiles.read(folders) == ()
    assert [one.masked for one in classfiles.shadowed(folders)] == [True]


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.yaml",
        "a.yaml~",
        "a.yaml.dpkg-new",
        "a.yaml.rpmnew",
        "a.yaml.rpmsave",
        "..data",
        "a.conf",
        "a.json",
        "a",
        "a.yaml.bak",
        ".a.swp",
    ],
)
def test_names_that_are_nobodys_class_files(folders: tuple[str, str], name: str) -> None:
    put(folders[0], name)

    assert classfiles.read(folders) == ()


def test_a_config_map_of_kubernetes_is_read_through_its_links(folders: tuple[str, str]) -> None:
    etc = Path(folders[0])
    (etc / "..2026_11_22").mkdir()
    put(str(etc / "..2026_11_22"), "a.yaml", "# v1\n")
    (etc / "..data").symlink_to("..2026_11_22")
    (etc / "a.yaml").symlink_to("..data/a.yaml")

    (found,) = classfiles.read(folders)

    assert (found.problem, found.text) == (None, "# v1\n")


def test_a_named_file_comes_last_whatever_its_name(folders: tuple[str, str], tmp_path: Path) -> None:
    put(folders[0], "99-z.yaml")
    named = put(str(tmp_path), "00-nri.conf")

    assert paths(*classfiles.read(folders, [str(named)]))[-1].endswith("00-nri.conf")


def test_directories_that_are_not_there_are_fine_and_a_file_in_their_place_is_told(tmp_path: Path) -> None:
    file = put(str(tmp_path), "file")

    (found,) = classfiles.read([str(tmp_path / "none"), str(file)])

    assert found.problem is not None
    assert found.problem.message == "cannot be read: Not a directory"


def test_a_missing_or_dangling_file_is_told(tmp_path: Path) -> None:
    link = tmp_path / "a.yaml"
    link.symlink_to("nowhere")

    assert trouble(link) == ("no such file", "a dangling link? to mask a file, link it to /dev/null")
    assert trouble(tmp_path / "b.yaml")[0] == "no such file"
    assert "link" not in trouble(tmp_path / "b.yaml")[1]
    assert classfiles.read([str(tmp_path)])[0].problem is not None


def test_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    assert trouble(put(str(tmp_path), "a.yaml", "#" * (2**20 + 1)))[0] == "larger than 1 MiB"
    assert classfiles.read((), [str(put(str(tmp_path), "b.yaml", "#" * 2**20))])[0].problem is None


def test_bytes_that_are_no_utf8_are_told_with_their_place(tmp_path: Path) -> None:
    (found,) = classfiles.read((), [str(put(str(tmp_path), "a.yaml", b"classes:\n- name: caf\xe9\n"))])

    assert found.problem is not None
    assert (found.problem.line, found.problem.column) == (2, 12)
    assert found.problem.message == "not valid UTF-8: the byte 0xe9 cannot stand here"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = put(str(tmp_path), "a.yaml")
    path.chmod(mode)

    message, hint = trouble(path)

    assert message == f"the file {path} may be written by others than its owner"
    assert hint == f"chmod go-w {path}"


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_so_is_a_file_in_a_directory_that_others_may_write(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    folder.chmod(mode)

    assert trouble(put(str(folder), "a.yaml")) == (
        f"the directory {folder} may be written by others than its owner",
        f"chmod go-w {folder}",
    )


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "a.yaml").symlink_to(put(str(tmp_path / "open"), "b.yaml"))

    assert "open may be written by others" in trouble(tmp_path / "a.yaml")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = put(str(tmp_path), "a.yaml")
    os.chown(path, 4711, 0)

    assert trouble(path) == (
        f"the file {path} belongs to user 4711, who could make this daemon do anything",
        f"chown root {path}",
    )


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").mkdir()

    messages = [one.problem.message for one in classfiles.read([str(tmp_path)]) if one.problem]

    assert messages == ["not a regular file", "not a regular file"]


def test_conf_files_with_our_keys_are_found_for_the_doctor(folders: tuple[str, str]) -> None:
    ours = put(folders[0], "40-memtierd.conf", "classes:\n- name: x\n  allowswap: true\n")
    put(folders[0], "other.conf", "# classes: mentioned only\nkey = value\n")
    put(folders[0], "class.yaml", "classes: []\n")
    Path(folders[0], "dangling.conf").symlink_to("nowhere")

    assert classfiles.conf_lookalikes([*folders, "/nonexistent"]) == (str(ours),)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("doubt", ["directory", "file"])
def test_a_mask_that_others_may_have_made_does_not_mask(folders: tuple[str, str], doubt: str) -> None:
    etc, usr = folders
    put(usr, "10-a.yaml")
    mask = put(etc, "10-a.yaml", "")
    if doubt == "directory":
        Path(etc).chmod(0o777)
    else:
        os.chown(mask, 4711, 0)

    (found,) = classfiles.read(folders)

    assert found.problem is not None
    assert found.problem.where == str(mask)


def test_looking_at_many_things_leaves_nothing_open(folders: tuple[str, str]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for name in ("a.yaml", "b.conf"):
        Path(folders[0], name).mkdir()
    put(folders[0], "c.yaml").chmod(0o666)

    for _ in range(5):
        classfiles.read(folders)
        classfiles.conf_lookalikes(folders)

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_link_through_somebody_elses_folder_leads_where_he_wants(tmp_path: Path) -> None:
    for name in ("conf.d", "home", "vault"):
        (tmp_path / name).mkdir(mode=0o755)
    put(str(tmp_path / "vault"), "x.yaml")
    (tmp_path / "home/link").symlink_to(tmp_path / "vault/x.yaml")
    (tmp_path / "conf.d/a.yaml").symlink_to(tmp_path / "home/link")
    assert classfiles.read([str(tmp_path / "conf.d")])[0].problem is None

    os.chown(tmp_path / "home", 4711, 0)

    assert f"the directory {tmp_path / 'home'} belongs to user 4711" in trouble(tmp_path / "conf.d/a.yaml")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_who_owns_a_folder_above_owns_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "above/conf.d"
    folder.mkdir(mode=0o755, parents=True)
    put(str(folder), "a.yaml")
    os.chown(tmp_path / "above", 4711, 0)

    assert f"{tmp_path / 'above'} belongs to user 4711" in trouble(folder / "a.yaml")[0]
