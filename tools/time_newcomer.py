"""How long a newcomer waits, beyond the downloads: README's first command, then the pages.

    python tools/time_newcomer.py [--files FOLDER]

A clean clone of this checkout's last commit, a new virtual environment, packages from a folder that
is filled before (or kept in FOLDER from an earlier run). Of each step the seconds that passed and
those of all processors; exit status 1 where a step fails or is over its limit.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"README's first command": 180.0, "mkdocs build --strict": 120.0}  # seconds that pass


def requirements(extras: tuple[str, ...]) -> list[str]:
    """What the package, its build and its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    optional = project["project"]["optional-dependencies"]
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    return [*asked, "wheel", *(entry for name in extras for entry in optional[name])]


def step(title: str, command: str, folder: Path, environment: dict[str, str]) -> bool:
    """Runs a shell command, prints what it took; whether it passed, within its limit."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, shell=True, cwd=folder, env={**os.environ, **environment})
    passed = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    limit = LIMITS.get(title)
    late = limit is not None and passed > limit
    end = f"  limit {limit:.0f} s: {'MISSED' if late else 'met'}" if limit else ""
    failed = f"  FAILED: status {done.returncode}" if done.returncode else ""
    print(f"{title:<26} {passed:6.0f} s, processors {work:6.0f} s{end}{failed}", flush=True)
    return not (done.returncode or late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=Path, help="packages of an earlier run; filled if empty")
    given = parser.parse_args()
    first = re.findall(r"^python3 -m venv .*", (ROOT / "README.md").read_text(), re.MULTILINE)[0]
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f} before, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as temporary:
        checkout = Path(temporary, "checkout")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        files = (given.files or Path(temporary, "files")).resolve()
        wanted = " ".join(f"'{entry}'" for entry in requirements(("train", "docs")))
        fetch = f"{sys.executable} -m pip download -q -c constraints.txt -d {files} {wanted}"
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(files)}
        docs = ".venv/bin/pip install -q -c constraints.txt '.[docs]'"
        pages = "NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet"
        good = files.is_dir() and any(files.iterdir())
        good = good or step("downloads", fetch, checkout, {})
        good = good and step("README's first command", first, checkout, offline)
        # The package is there: its pages need no second build of the kernels.
        without = {**offline, "TSSSL_BUILD_EXT": "0"}
        good = step("the pages' packages", docs, checkout, without) and good
        good = step("mkdocs build --strict", pages, checkout, {}) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
