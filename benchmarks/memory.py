"""Peak extra memory of one forward and backward, measured in a child process.

    python benchmarks/memory.py "nt_xent 4096x128" cpp

prints the bytes by which the resident set grows at most, results included. The child first runs a
small case, so that libraries and thread pools are loaded before it counts.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import torch
from registry import case, cases


def peak_extra_bytes(name: str, provider: str) -> int:
    """As above, in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, name, provider], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _measure(name: str, provider: str) -> int:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    small = next(c for c in cases() if c.name.split()[0] == name.split()[0])
    small.providers[provider](small.inputs())()
    run = case(name).providers[provider](case(name).inputs())
    if not Path("/proc/self/clear_refs").exists():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kept = run()
        unit = 1 if sys.platform == "darwin" else 1024
        assert kept
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark restarts here
    kept = run()
    assert kept
    return _status("VmHWM") - before


if __name__ == "__main__":
    print(_measure(*sys.argv[1:3]))
