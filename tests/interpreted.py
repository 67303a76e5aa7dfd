"""The files of tests/interpreter, one after the other beside the tests of this process: most of
those keep one processor busy, and the interpreter a second one for three minutes."""

import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent / "interpreter"
FILES = sorted(p.name for p in FOLDER.glob("test_*.py"))
Result = subprocess.CompletedProcess[str]


class Interpreted:
    """Runs files of tests/interpreter. Triton reads TRITON_INTERPRET at import."""

    def __init__(self, names: Iterable[str]) -> None:
        self.environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
        self.process: subprocess.Popen[str] | None = None
        self.stopped = False
        self.thread = ThreadPoolExecutor(1)
        self.results: dict[str, Future[Result]] = {
            name: self.thread.submit(self._run, name) for name in names
        }

    def _run(self, name: str) -> Result:
        command = [sys.executable, "-m", "pytest", "-q", "--color=no", FOLDER / name]
        self.process = subprocess.Popen(
            command,
            cwd=FOLDER,  # -m puts the folder in front of sys.path: not the source tree
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.stopped:
            self.process.kill()
        out, error = self.process.communicate()
        return subprocess.CompletedProcess(command, self.process.returncode, out, error)

    def stop(self) -> None:
        self.stopped = True
        self.thread.shutdown(wait=False, cancel_futures=True)
        if self.process is not None:
            self.process.kill()
        self.thread.shutdown()
