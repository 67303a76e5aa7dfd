"""How long `import tsssl_fast` takes beyond torch's own import; medians over fresh processes.

    python benchmarks/experiments/import_time.py [--runs 10]

In each process torch is imported first, then the package, then what a first use imports; a row
counts from the end of torch's import. The first processes write what Python keeps of compiled
modules, where it is allowed to (not with PYTHONDONTWRITEBYTECODE), and are not counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

MODULES = ("tsssl_fast", "tsssl_fast.losses", "tsssl_fast.augment", "tsssl_fast.training")
CODE = """
import importlib, time
begin = time.perf_counter()
import torch
after = time.perf_counter()
print(after - begin)
for module in {modules!r}:
    importlib.import_module(module)
    print(time.perf_counter() - after)
"""
LIMIT = 0.1  # seconds, of the first row


def measure() -> list[float]:
    """Seconds of torch's import, then of each of MODULES with those before it."""
    command = [sys.executable, "-c", CODE.format(modules=MODULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    root = str(Path(__file__).parents[2])
    if (Path(root) / "tsssl_fast").is_dir():
        os.environ.setdefault("PYTHONPATH", root)
    measure()
    columns = list(zip(*(measure() for _ in range(runs)), strict=True))
    print(f"{'import':<22} {'median ms':>9} {'least':>7} {'most':>7}")
    for name, seconds in zip(("torch", *MODULES), columns, strict=True):
        least, middle, most = min(seconds), statistics.median(seconds), max(seconds)
        print(f"{name:<22} {1e3 * middle:>9.1f} {1e3 * least:>7.1f} {1e3 * most:>7.1f}")
    within = statistics.median(columns[1]) <= LIMIT
    print(f"tsssl_fast within {1e3 * LIMIT:.0f} ms: {'yes' if within else 'NO'}")
    sys.exit(not within)


if __name__ == "__main__":
    main()
