"""What the daemon says to those who come at the wrong moment."""

from typing import Any

import pytest

from reconciler.agent.agent import Agent
from reconciler.control.answering import NotNow, Whom, Wish
from reconciler.reception import Reception
from reconciler.report import Report


class Beginning:
    """A daemon before the end of its first cycle."""

    last, report = None, Report()

    def __init__(self) -> None:
        self.agent, self.asked = Agent({}, threads=0), list[Any]()

    def change_agent(self, override: object) -> None:
        self.asked.append(override)

    def reset_agent(self, section: str, cgroup: str) -> None:
        self.asked.append((section, cgroup))


@pytest.mark.parametrize("persist", [False, True])
def test_what_is_refused_because_it_is_too_early_is_not_done_either(*, persist: bool) -> None:
    daemon = Beginning()
    reception = Reception(daemon)  # type: ignore[arg-type]  # the part of a daemon that is needed
    wish = Wish(section="memcg", whom=Whom(), json='{"swap": true}', persist=persist, who="uid 0")

    with pytest.raises(NotNow, match="first cycle"):
        reception.change(wish)
    with pytest.raises(NotNow, match="first cycle"):
        reception.reset("memcg", Whom(), "uid 0")

    assert daemon.asked == []
