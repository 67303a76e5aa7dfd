"""Trees of revisions with their extension built in place, for `compare.py`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Its tree has no adapter of its own; every later one has `compare_cases/current.py`.
FIRST = "78e2e36"


def commit(revision: str) -> str:
    """The full hash. Raises SystemExit where git does not know the revision."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{revision}: no revision that git knows in {ROOT}")
    return done.stdout.strip()


def build(revision: str, folder: Path) -> Path:
    """Unpacks the revision into `folder` and builds its extension there; a finished one is kept.

    The revision's own setup.py drives CMake, so that each is built as it says itself.
    """
    finished = folder / "build" / "finished"
    if finished.exists() and finished.read_text() == commit(revision):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit(revision)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    print(f"building {revision} in {folder}", file=sys.stderr, flush=True)
    programs = str(Path(sys.executable).parent)  # cmake and ninja of a virtual environment
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]),
            "TSSSL_BUILD_DIR": str(folder / "build"),
        },
        stdout=subprocess.DEVNULL,
        check=True,
    )
    finished.write_text(commit(revision))
    return folder


def cases_of(tree: Path) -> tuple[Path, str]:
    """Folder and module of a tree's adapter: its own, or the one kept here for revision 78e2e36."""
    own = tree / "benchmarks"
    if (own / "compare_cases" / "current.py").exists():
        return own, "current"
    return ROOT / "benchmarks", f"revision_{FIRST}"
