"""What runs beside the tests of this process, one after the other in processes of their own: most
tests keep one processor busy, and these a second one for ten minutes when every cache is cold."""

import os
import pickle
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from gpu_objects.compiled import Facts
from gpu_objects.table import Case

INTERPRETER = Path(__file__).parent / "interpreter"
# Helpers of the tests and what lies in tools/; behind them what was on the path already.
FOUND = [
    *(str(Path(__file__).parents[1] / folder) for folder in ("tests", "tools")),
    *filter(None, [os.environ.get("PYTHONPATH")]),
]
LONGEST = 1800.0  # seconds
FILES = sorted(p.name for p in INTERPRETER.glob("test_*.py"))

COMPILE = """
import pickle, sys
from gpu_objects.table import walk
cases = pickle.load(sys.stdin.buffer)
pickle.dump(dict(zip(cases, walk(cases, processes=1))), sys.stdout.buffer)
"""


class Result(NamedTuple):
    """Of a process that has ended."""

    status: int
    out: bytes
    error: str


class Outcome(NamedTuple):
    """Of one test in Triton's interpreter: passed, failed, error or skipped, and why."""

    kind: str
    why: str


@cache
def interpreter_cases() -> list[str]:
    """FILE::NAME of every test in tests/interpreter, in order; collected in a process of its own,
    because Triton reads TRITON_INTERPRET when it is imported."""
    files = [str(INTERPRETER / file) for file in FILES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "--color=no", *files],
        cwd=INTERPRETER,
        env=_environment(TRITON_INTERPRET="1"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"tests/interpreter: no collection:\n{done.stdout}{done.stderr}")
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    return [f"{Path(file).name}::{name}" for file, _, name in (x.partition("::") for x in ids)]


def outcomes(report: str, file: str) -> dict[str, Outcome]:
    """FILE::NAME -> outcome, from pytest's report in JUnit's format."""
    found = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        problems = [e for e in case if e.tag in ("failure", "error", "skipped")]
        kind = problems[0].tag.replace("failure", "failed") if problems else "passed"
        why = "\n".join(f"{e.get('message', '')}\n{e.text or ''}" for e in problems)
        found[f"{file}::{case.get('name')}"] = Outcome(kind, why)
    return found


def _environment(**variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(FOUND)} | variables


class Beside:
    """Jobs in processes of their own, in the order in which they are added. Each is run once for
    all of pytest's workers, which share a folder: by the thread of one of them, or by a test that
    wants its result before its turn has come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._jobs: dict[str, Callable[[], Any]] = {}
        self._results: dict[str, Any] = {}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._thread = ThreadPoolExecutor(1)

    def warm_numba(self) -> None:
        """Job "numba": compiles every Numba kernel into the cache on disk -> Result."""
        self._jobs["numba"] = lambda: self._run("-m", "tsssl_fast.info", "--warm")

    def compile_triton(self, cases: Sequence[Case]) -> None:
        """Job "triton": compiles these cases into Triton's cache on disk -> their Facts."""
        self._jobs["triton"] = lambda: self._compile(cases)

    def interpret(self, cases: Sequence[str]) -> None:
        """A job a file: runs these of `interpreter_cases` -> their Outcomes."""
        for file in reversed(FILES):  # the tests ask from the other end
            if selected := [case for case in cases if case.startswith(f"{file}::")]:
                self._jobs[file] = partial(self._interpret, file, selected)

    def start(self) -> None:
        for name in self._jobs:
            self._thread.submit(self._begin, name)

    def _begin(self, name: str) -> bool:
        """Runs the job unless someone has begun it; whether it did."""
        try:
            (self._folder / f"{name}.begun").touch(exist_ok=False)
        except FileExistsError:
            return False
        try:
            found = self._jobs[name]()
        except Exception as error:  # for the tests that want the result
            found = RuntimeError(f"{type(error).__name__}: {error}")
        unfinished = self._folder / f"{name}.unfinished"
        unfinished.write_bytes(pickle.dumps(found))
        unfinished.rename(self._folder / f"{name}.pickle")
        return True

    def result(self, name: str) -> Any:
        """What a job gives, or the exception that it raises."""
        if name not in self._results:
            self._results[name] = self._wait(name)
        found = self._results[name]
        if isinstance(found, Exception):
            raise found
        return found

    def _wait(self, name: str) -> Any:
        done, deadline = self._folder / f"{name}.pickle", time.monotonic() + LONGEST
        while not done.exists() and not self._begin(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name}: not done within {LONGEST} s")
            time.sleep(0.1)
        return pickle.loads(done.read_bytes())

    def interpreted(self, case: str) -> Outcome:
        found: Mapping[str, Outcome] = self.result(case.partition("::")[0])
        return found.get(case, found.get("", Outcome("error", "it was not run")))

    def _interpret(self, file: str, cases: Sequence[str]) -> Mapping[str, Outcome]:
        """The outcomes of a file's tests; those that did not come to one have that of ""."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            result = self._run(
                *("-m", "pytest", "-q", "-n0", "--color=no", f"--junitxml={report}"),
                *(str(INTERPRETER / case) for case in cases),
                TRITON_INTERPRET="1",
                OMP_NUM_THREADS="1",
            )
            found = outcomes(report.read_text(), file) if report.exists() else {}
        closing = f"status {result.status}\n{result.out.decode()[-8000:]}{result.error[-2000:]}"
        return found | {"": Outcome("error", closing)}

    def _compile(self, cases: Sequence[Case]) -> dict[Case, Facts]:
        if not cases:
            return {}
        result = self._run("-c", COMPILE, given=pickle.dumps(cases))
        if result.status:
            raise RuntimeError(f"compiling ahead of time failed:\n{result.error}")
        facts: dict[Case, Facts] = pickle.loads(result.out)
        return facts

    def _run(self, *arguments: str, given: bytes = b"", **variables: str) -> Result:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=INTERPRETER,  # in front of sys.path: not the source tree
            env=_environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._running.add(process)
        if self._stopped:
            process.kill()
        out, error = process.communicate(given)
        self._running.remove(process)
        return Result(process.returncode, out, error.decode())

    def stop(self, wait: bool) -> None:
        """Ends what runs and drops what has not begun, or waits for it: another worker's tests
        may want it."""
        if not wait:
            self._stopped = True
            self._thread.shutdown(wait=False, cancel_futures=True)
            for process in tuple(self._running):
                process.kill()
        self._thread.shutdown()
