"""The drop-in of runtime changes: what it says, what it keeps, and what it refuses."""

from pathlib import Path

import pytest
import yaml

from reconciler import classes, persisted, schemas
from reconciler.declarations import ClassText
from reconciler.persisted import CannotKeep, Wanted

BOOT = "b-1"


class Place:
    def __init__(self, folder: Path) -> None:
        self.conf, self.state = folder / "conf.d", folder / "state"
        self.conf.mkdir()
        (self.state / "classes.d").mkdir(parents=True)
        self.path = self.conf / persisted.NAME

    def keep(self, section: str = "memcg", cgroup: str = "", **values: object) -> persisted.Kept:
        wanted = Wanted(section=section, values=values, cgroup=cgroup, who="uid 0, pid 1", when="2026-11-25")
        return persisted.keep(wanted, (str(self.conf), "/nowhere"), self.state, BOOT)

    def content(self) -> object:
        return yaml.safe_load(self.path.read_text())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_section_that_is_nowhere_is_not_turned_on_by_the_way(place: Place) -> None:
    place.keep(swap=True)

    assert place.content() == {"memcg": {"disabled": True, "swap": True}}
    place.keep(disabled=False)
    assert place.content() == {"memcg": {"disabled": False, "swap": True}}


def test_a_section_of_another_file_is_left_as_it_is(place: Place) -> None:
    (place.conf / "10-a.yaml").write_text("memcg: {}\n")
    place.keep(swap=True)

    assert place.content() == {"memcg": {"swap": True}}


def test_what_was_kept_before_and_what_people_wrote_stays(place: Place) -> None:
    place.path.write_text("# mine\nclasses: [{name: a, allowswap: true}]\ncompact: {compact_order: 3}\n")
    place.keep("compact", compact_threshold=7)

    assert place.content() == {
        "classes": [{"name": "a", "allowswap": True}],
        "compact": {"compact_order": 3, "compact_threshold": 7},
    }
    head = place.path.read_text().splitlines()[:2]
    assert head[0] == "# Written by `ebbtide compact set --persist` on 2026-11-25, for uid 0, pid 1."
    assert place.path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in place.conf.iterdir()] == [persisted.NAME]


def test_entries_of_cgroups_are_changed_or_added(place: Place) -> None:
    (place.conf / "10-a.yaml").write_text("memcg: {}\n")
    place.keep(cgroup="/a", swap=True)
    place.keep(cgroup="/sys/fs/cgroup/b/", period_secs="5m")
    place.keep(cgroup="/a", swap=False, disabled=True)

    assert place.content() == {
        "memcg": {
            "cgroups": [{"path": "/a", "swap": False, "disabled": True}, {"path": "/b", "period_secs": "5m"}],
        }
    }


def test_one_files_list_would_take_the_place_of_anothers(place: Place) -> None:
    (place.conf / "10-a.yaml").write_text("memcg:\n  cgroups: [{path: /x}]\n")

    with pytest.raises(CannotKeep, match=r"10-a.yaml:2 has `cgroups:` of its own.* add an entry for /a there"):
        place.keep(cgroup="/a", swap=True)
    assert not place.path.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memcg: [", "mend that file, or remove it"),
        ("- 1\n", "is no class file"),
        ("nonsense: 1\n", "unknown key"),
        ("", "is masked"),
    ],
)
def test_a_file_that_is_wrong_already_is_left_alone(place: Place, text: str, said: str) -> None:
    place.path.write_text(text)

    with pytest.raises(CannotKeep, match=said):
        place.keep(swap=True)
    assert place.path.read_text() == text


def test_somebody_elses_file_is_not_trusted(place: Place) -> None:
    place.path.write_text("memcg: {}\n")
    place.path.chmod(0o666)

    with pytest.raises(CannotKeep, match=r"chmod|write"):
        place.keep(swap=True)


def test_values_that_no_class_file_may_have_are_never_written(place: Place) -> None:
    with pytest.raises(CannotKeep, match="swappiness_max"):
        place.keep(swappiness_max=201)
    assert not place.path.exists()


@pytest.mark.parametrize(("name", "notes"), [("99-z.yaml", 1), ("10-a.yaml", 0)])
def test_files_that_count_above_it_are_named(place: Place, name: str, notes: int) -> None:
    (place.conf / name).write_text("memcg: {swap: false}\n")

    assert len(place.keep(swap=True, period_secs=60).notes) == notes
    loaded = classes.load([ClassText(path="x", name="x", text=place.path.read_text())], schemas.load())
    assert loaded.problems == ()


def test_what_the_runtime_handed_over_counts_above_it(place: Place) -> None:
    (place.state / "classes.d" / "zz-nri-x.yaml").write_text("memcg: {swap: false}\n")

    assert "zz-nri-x.yaml:1 gives memcg: swap" in place.keep(swap=True).notes[0]


def test_the_folder_is_made(place: Place) -> None:
    place.conf.rmdir()
    place.keep(swap=True)

    assert place.path.exists()
