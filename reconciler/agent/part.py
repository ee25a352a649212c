"""What one sub-feature of the agent is: something with periods of its own, on a thread of its own."""

from typing import Protocol, runtime_checkable

from reconciler.agentconfig import AgentTask


class Part(Protocol):
    """`run` is never called twice at once; everything else comes from other threads at any time and returns at once."""

    def change(self, task: AgentTask) -> None:
        """What holds from now on: a pass under way notices at its next check, and ends if its part is off now."""

    def run(self, now: float) -> float:
        """Do what is due at `now` (monotonic seconds); gives the moment to come again, infinity for never.

        Kernel errors of one cgroup are counted and said in the report; only a bug escapes.
        """

    def report(self) -> object:
        """Plain frozen values for the status: figures, the last pass, what is wrong."""

    def stop(self) -> None:
        """A pass under way ends soon, and leaves nothing behind that nobody looks after."""


@runtime_checkable
class Releasing(Part, Protocol):
    """A part that leaves something in the kernel when it ends."""

    def release(self) -> str:
        """While no daemon runs: put all of that back. Gives what stays and why, "" = nothing does."""
