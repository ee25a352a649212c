"""memtierd's time stamps of one moment, in its words and in Go's layouts."""

from datetime import UTC, timedelta, timezone

import pytest

from reconciler.engine import stamps

# 2026-02-03 04:05:06.078009010 in UTC, a Tuesday
NOW = 1_770_091_506_078_009_010
BEGAN = NOW - 90_250_000_000
INDIA = timezone(timedelta(hours=5, minutes=30), "IST")
NEWFOUNDLAND = timezone(-timedelta(hours=3, minutes=30))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("ansic", "Tue Feb  3 04:05:06 2026"),
        ("unixdate", "Tue Feb  3 04:05:06 UTC 2026"),
        ("rfc822", "03 Feb 26 04:05 UTC"),
        ("rfc822z", "03 Feb 26 04:05 +0000"),
        ("rfc850", "Tuesday, 03-Feb-26 04:05:06 UTC"),
        ("rfc1123", "Tue, 03 Feb 2026 04:05:06 UTC"),
        ("rfc3339", "2026-02-03T04:05:06Z"),
        ("rfc3339nano", "2026-02-03T04:05:06.07800901Z"),
        ("unix", "1770091506"),
        ("unix.s", "1770091506"),
        ("unix.milli", "1770091506.078"),
        ("unix.micro", "1770091506.078009"),
        ("unix.nano", "1770091506.078009010"),
        ("duration", "90"),
        ("duration.s", "90"),
        ("duration.milli", "90.250"),
        ("duration.micro", "90.250000"),
        ("duration.nano", "90.250000000"),
        ("[rfc3339] duration.milli s: ", "[2026-02-03T04:05:06Z] 90.250 s: "),
        ("unix.s,duration\n", "1770091506,90\n"),
        ("Monday, January 2 2006 at 3:04:05.000 PM (pm)", "Tuesday, February 3 2026 at 4:05:06.078 AM (am)"),
        ("06/1/02 002 15h -07 -07:00 .99", "26/2/03 034 04h +00 +00:00 .07"),
        ("", ""),
    ],
)
def test_all_of_them(template: str, text: str) -> None:
    assert stamps.text(template, NOW, BEGAN, UTC) == text


@pytest.mark.parametrize(
    ("template", "india", "newfoundland"),
    [
        ("rfc3339", "2026-02-03T09:35:06+05:30", "2026-02-03T00:35:06-03:30"),
        ("rfc822z", "03 Feb 26 09:35 +0530", "03 Feb 26 00:35 -0330"),
        ("rfc850", "Tuesday, 03-Feb-26 09:35:06 IST", "Tuesday, 03-Feb-26 00:35:06 UTC-03:30"),
        ("unix", "1770091506", "1770091506"),
    ],
)
def test_zones(template: str, india: str, newfoundland: str) -> None:
    assert stamps.text(template, NOW, BEGAN, INDIA) == india
    assert stamps.text(template, NOW, BEGAN, NEWFOUNDLAND) == newfoundland


@pytest.mark.parametrize(
    ("template", "text"), [("unix", "1"), ("unix.milli", "1.999"), ("duration", "0"), (".999", ".999")]
)
def test_no_stamp_is_ahead_of_its_time(template: str, text: str) -> None:
    assert stamps.text(template, 1_999_999_999, 1_000_000_000, UTC) == text


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    assert stamps.text("duration.s rfc3339nano", 0, BEGAN, UTC) == "0 1970-01-01T00:00:00Z"


def test_the_zone_of_the_machine_is_the_default() -> None:
    assert stamps.text("unix 2006", NOW, BEGAN).startswith("1770091506 2026")
