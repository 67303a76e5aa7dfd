"""What runs beside the tests of this process, one after the other in processes of their own: most
tests keep one processor busy, and these a second one for ten minutes when every cache is cold."""

import os
import pickle
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gpu_objects.compiled import Facts
from gpu_objects.table import Case

INTERPRETER = Path(__file__).parent / "interpreter"
# Helpers of the tests and what lies in tools/; behind them what was on the path already.
FOUND = [
    *(str(Path(__file__).parents[1] / folder) for folder in ("tests", "tools")),
    *filter(None, [os.environ.get("PYTHONPATH")]),
]
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
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--color=no", *files],
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
    """Processes in the order in which they are asked for."""

    warmed: Future[Result]
    facts: Future[dict[Case, Facts]]
    _cases: dict[str, list[str]]
    _interpreted: dict[str, Future[Mapping[str, Outcome]]]

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._thread = ThreadPoolExecutor(1)

    def warm_numba(self) -> None:
        """Compiles every Numba kernel into the cache on disk."""
        self.warmed = self._thread.submit(self._run, "-m", "tsssl_fast.info", "--warm")

    def compile_triton(self, cases: Sequence[Case]) -> None:
        """Compiles these cases into Triton's cache on disk and finds their facts."""
        self.facts = self._thread.submit(self._compile, cases)

    def interpret(self, cases: Sequence[str]) -> None:
        """Will run these of `interpreter_cases`, a process a file, the last file first."""
        self._cases = {file: [c for c in cases if c.startswith(f"{file}::")] for file in FILES}
        self._interpreted = {
            file: self._thread.submit(self._interpret, file)
            for file in reversed(FILES)
            if self._cases[file]
        }

    def interpreted(self, case: str) -> Outcome:
        """Its file is run here, beside the others, where its turn has not come."""
        file = case.partition("::")[0]
        run = self._interpreted[file]
        if run.cancel():
            run = self._interpreted[file] = Future()
            run.set_result(self._interpret(file))
        found = run.result(timeout=1800)
        return found.get(case, found.get("", Outcome("error", "it was not run")))

    def _interpret(self, file: str) -> Mapping[str, Outcome]:
        """The outcomes of a file's tests; those that did not come to one have that of ""."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            result = self._run(
                *("-m", "pytest", "-q", "--color=no", f"--junitxml={report}"),
                *(str(INTERPRETER / case) for case in self._cases[file]),
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

    def stop(self) -> None:
        """Ends what runs and drops what waits."""
        self._stopped = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        for process in tuple(self._running):
            process.kill()
        self._thread.shutdown()
