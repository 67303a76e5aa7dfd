"""Memory: the peak of a run, and what this machine has free.

    python benchmarks/memory.py "nt_xent 4096x128" cpp

prints the bytes by which the resident set grows at most in one run of a case, results included, in
a process of its own.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from registry import case
from timing import give_back

CGROUP = Path("/sys/fs/cgroup")


def peak_extra_bytes(run: Callable[[], object]) -> int | None:
    """Growth of the resident set in one run, which has run before; None where /proc can not say."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    give_back()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark restarts here
    kept = run()
    assert kept is not None
    return max(0, _status("VmHWM") - before)


def available() -> float:
    """Bytes that a process may still take: of the machine, and of its control group."""
    free = float("inf")
    info = Path("/proc/meminfo")
    if info.exists():
        lines = (line.split() for line in info.read_text().splitlines())
        free = next(1024.0 * int(line[1]) for line in lines if line[0] == "MemAvailable:")
    most, now = CGROUP / "memory.max", CGROUP / "memory.current"
    if most.exists() and (limit := most.read_text().strip()) != "max":
        free = min(free, float(limit) - float(now.read_text()))
    return free


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


if __name__ == "__main__":
    chosen = case(sys.argv[1])
    with chosen.setting():
        once = chosen.providers[sys.argv[2]](chosen.inputs())
        once()
        print(peak_extra_bytes(once))
