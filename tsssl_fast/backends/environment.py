"""The only reader of environment variables.

| variable        | values                        | effect                                        |
| --------------- | ----------------------------- | --------------------------------------------- |
| TSSSL_BACKEND   | reference, cpp, numba, triton | every operator on this backend; no fallback   |
| TSSSL_CPU_ISA   | baseline, avx2, avx512, ...   | the instruction set of the C++ kernels (info) |
| TSSSL_BUILD_EXT | 0, 1                          | read by setup.py: build the extension or not  |
| TSSSL_BUILD_DIR | a folder                      | read by setup.py: keep the CMake build there  |

Read but not ours: TRITON_INTERPRET, by which Triton runs its kernels in an interpreter on the CPU.
"""

import functools
import os

# Name in TSSSL_BACKEND, or "" where it is unset.
backend = functools.partial(os.environ.get, "TSSSL_BACKEND", "")


def triton_interpreter() -> bool:
    """Whether Triton is told to interpret its kernels; it reads this when it is imported."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def variables() -> dict[str, str]:
    """Every TSSSL_ variable that is set, the unknown ones included: a misspelt name shows."""
    return {k: v for k, v in sorted(os.environ.items()) if k.startswith("TSSSL_")}
