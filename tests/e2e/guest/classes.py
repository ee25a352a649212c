"""The seed's classes with shorter times: an emulated machine has not all day."""

SECONDS = 5

SWAP_IDLE_DATA = """classes:
  - name: swap-idle-data
    allowswap: true
    memtierdconfig: |
      policy:
        name: age
        config: |
          intervalms: {ms}
          pidwatcher:
            name: cgroups
            config: |
              cgroups:
                - $CGROUP2_ABS_PATH
          swapoutms: {ms}
          tracker:
            name: {tracker}
            config: |
              pagesinregion: 512
              maxcountperregion: 1
              scanintervalms: {ms}
          mover:
            intervalms: 20
            bandwidth: 50
"""

TRACK_WORKING_SET_SIZE = """classes:
  - name: track-working-set-size
    allowswap: false
    memtierdconfig: |
      policy:
        name: age
        config: |
          intervalms: {ms}
          pidwatcher:
            name: cgroups
            config: |
              cgroups:
                - $CGROUP2_ABS_PATH
          tracker:
            name: {tracker}
            config: |
              pagesinregion: 512
              maxcountperregion: 1
              scanintervalms: {ms}
          mover:
            intervalms: 20
            bandwidth: 50
      routines:
        - name: statactions
          config: |
            intervalms: {ms}
            intervalcommandrunner: memtier
            intervalcommand: ["policy", "-dump", "accessed", "0,5s,10s,30s,2m,0"]
"""


def swap_idle_data(tracker: str, seconds: float = SECONDS) -> str:
    """Seed 000's example, but for its times and the tracker."""
    return SWAP_IDLE_DATA.format(tracker=tracker, ms=int(seconds * 1000))


def track_working_set_size(tracker: str, seconds: float = SECONDS) -> str:
    return TRACK_WORKING_SET_SIZE.format(tracker=tracker, ms=int(seconds * 1000))
