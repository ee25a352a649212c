"""The example classes as they are shipped, with shorter times: an emulated machine has not all day."""

import re
from pathlib import Path

from tests.e2e.guest import ebbtide

EXAMPLES = Path("/src/etc/examples")
SECONDS = 5
LONG = re.compile(r"ms: \d{5}$", re.MULTILINE)  # 10 s and more; the mover's 20 ms stay


def drop(tracker: str, *, seconds: float = SECONDS) -> None:
    """Both, as an administrator would put them into place."""
    for name in ("swap-idle-data", "track-working-set-size"):
        text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
        shorter, times = LONG.subn(f"ms: {int(seconds * 1000)}", text)
        assert times >= 3
        ebbtide.drop(f"10-{name}.yaml", shorter.replace("name: idlepage", f"name: {tracker}"))
