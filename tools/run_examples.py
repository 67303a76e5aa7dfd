"""Runs examples/: the scripts, and the notebooks where nbclient and ipykernel are installed.

    python tools/run_examples.py [NAME ...] [--write]

Exit status 1 where one fails, or a script is over a minute on two cores: in seconds of processors,
which do not grow where others compute beside it. --write keeps the outputs of the notebooks.
"""

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NO_EXAMPLE = {"series.py"}
MOST = 120.0  # seconds of processors
# By torchrun, as the script says.
PROCESSES = {"ddp_two_ranks.py": 2}


def command(script: Path) -> list[str]:
    if count := PROCESSES.get(script.name):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        return [sys.executable, *torchrun, str(script)]
    return [sys.executable, str(script)]


def run_script(script: Path) -> str:
    """What it printed, where it failed; else nothing."""
    done = subprocess.run(
        command(script), capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "agg"}
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def run_notebook(path: Path, write: bool) -> str:
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:  # where they leave their files
        try:
            nbclient.NotebookClient(notebook, timeout=600).execute(cwd=folder)
        except nbclient.exceptions.CellExecutionError as error:
            return str(error)
    if write:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of day
        nbformat.write(notebook, path)
    return ""


def of_processors() -> float:
    """Seconds that ended child processes have computed, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of the files; none: all")
    parser.add_argument("--write", action="store_true", help="keep outputs of notebooks")
    given = parser.parse_args()
    notebooks = all(map(importlib.util.find_spec, ("nbclient", "ipykernel")))
    files = sorted([*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")])
    failed = 0
    for file in files:
        if file.name in NO_EXAMPLE or (given.names and file.name not in given.names):
            continue
        if file.suffix == ".ipynb" and not notebooks:
            print(f"     -    {file.name}: needs nbclient and ipykernel")
            continue
        start, before = time.perf_counter(), of_processors()
        wrong = run_script(file) if file.suffix == ".py" else run_notebook(file, given.write)
        work = of_processors() - before
        if not wrong and file.suffix == ".py" and work > MOST:
            wrong = f"{work:.0f} s of processors; accepted: {MOST:.0f} s, a minute on two cores"
        failed += bool(wrong)
        seconds = f"{time.perf_counter() - start:6.1f} s, processors {work:6.1f} s"
        print(f"{seconds}  {file.name}", flush=True)
        if wrong:
            print(wrong, flush=True)
    sys.exit(f"{failed} examples failed" if failed else 0)


if __name__ == "__main__":
    main()
