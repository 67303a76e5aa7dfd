"""Tests of Triton kernels in Triton's interpreter: their own process, because TRITON_INTERPRET is
read when triton is imported. tests/test_triton_interpreter.py starts it:

    TRITON_INTERPRET=1 pytest tests/interpreter
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # checks, samples

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]  # the ordinary run: tests/test_triton_interpreter.py

pytest.importorskip("triton", reason="Triton's kernels need triton")
