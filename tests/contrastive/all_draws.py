"""All draws of options on every backend, Triton's in its interpreter:

    PYTHONPATH=tests python tests/contrastive/all_draws.py

Takes ten minutes on two processors. What it said last is kept in all_draws.txt.
"""

import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from contrastive import crossed, draws

from tsssl_fast import _version

BACKENDS = ("triton", "reference", "cpp", "numba")
OUTPUT = Path(__file__).with_suffix(".txt")


def check(backend: str) -> str:
    """Checks one backend; a line that says what came out, and a line for every wrong draw."""
    expected = crossed.expected_in_triton if backend == "triton" else crossed.expected_at
    rounded, wrong, start = [], [], time.perf_counter()
    for index in range(draws.DRAWS):
        try:
            rounded += crossed.check([expected(index)], backend)
        except AssertionError as error:
            wrong.append(str(error).partition("\n")[2])
    try:
        crossed.accept_rounded(backend, rounded)
        rule = "holds"
    except AssertionError as error:
        rule = f"is broken: {error}"
    count = len({draw.index for draw, _, _ in rounded})
    head = f"{backend}: {draws.DRAWS} draws, {len(wrong)} wrong; the rule of rounding {rule}"
    return "\n".join([f"{head} on {count}; {time.perf_counter() - start:.0f} s", *wrong])


def run(backend: str) -> str:
    """`check` in a process of its own: Triton's interpreter is chosen when triton is imported."""
    extra = {"TRITON_INTERPRET": "1"} if backend == "triton" else {}
    command = [sys.executable, __file__, backend]
    found = subprocess.run(command, env=os.environ | extra, capture_output=True, text=True)
    line = found.stdout.strip() or f"{backend}: {found.stderr.strip()[-500:]}"
    print(line, flush=True)
    return line


def main() -> int:
    with ThreadPoolExecutor(2) as pool:  # Triton's takes as long as all others together
        lines = list(pool.map(run, BACKENDS))
    versions = f"tsssl_fast {_version.__version__}, torch {torch.__version__}"
    OUTPUT.write_text("\n".join([versions, *lines]) + "\n")
    return int(any(" 0 wrong; the rule of rounding holds" not in line for line in lines))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if sys.argv[1:]:
        print(check(sys.argv[1]))
    else:
        sys.exit(main())
