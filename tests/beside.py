"""What runs beside the tests of this process, one after the other in processes of their own: most
tests keep one processor busy, and these a second one for ten minutes when every cache is cold."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
INTERPRETER_FILES = sorted(p.name for p in INTERPRETER.glob("test_*.py"))

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


class Beside:
    """Processes in the order in which they are asked for."""

    warmed: Future[Result]
    facts: Future[dict[Case, Facts]]
    _interpreted: dict[str, Future[Result]]

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

    def interpret(self, files: Iterable[str]) -> None:
        """Will run these files of tests/interpreter."""
        self._interpreted = {file: self._thread.submit(self._interpret, file) for file in files}

    def interpreted(self, file: str) -> Result:
        """Run here, beside the others, where its turn has not come."""
        run = self._interpreted[file]
        return self._interpret(file) if run.cancel() else run.result(timeout=1800)

    def _interpret(self, file: str) -> Result:
        """Triton reads TRITON_INTERPRET at import."""
        command = ("-m", "pytest", "-q", "--color=no", str(INTERPRETER / file))
        return self._run(*command, TRITON_INTERPRET="1", OMP_NUM_THREADS="1")

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
            env=os.environ | {"PYTHONPATH": os.pathsep.join(FOUND)} | variables,
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
