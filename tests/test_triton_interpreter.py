"""Runs tests/interpreter in a process of its own: Triton reads TRITON_INTERPRET at import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreter"
FILES = sorted(p.name for p in FOLDER.glob("test_*.py"))


@pytest.mark.parametrize("name", FILES)
def test_interpreted(name: str) -> None:
    pytest.importorskip("triton")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--color=no", FOLDER / name],
        cwd=FOLDER,  # -m puts the folder in front of sys.path: not the source tree
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    closing = result.stdout.strip().splitlines()[-1:]
    print(name, *closing)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert "passed" in closing[0]
    assert "skipped" not in closing[0], "nothing may be skipped here"
