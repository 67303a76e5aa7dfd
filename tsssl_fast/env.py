"""The only reader of environment variables.

| variable        | values                        | effect                                        |
| --------------- | ----------------------------- | --------------------------------------------- |
| TSSSL_BACKEND   | reference, cpp, numba, triton | every operator on this backend; no fallback   |
| TSSSL_CPU_ISA   | baseline, avx2, avx512        | the instruction set of the C++ kernels        |
| TSSSL_BUILD_EXT | 0, 1                          | read by setup.py: build the extension or not  |
| TSSSL_BUILD_DIR | a folder                      | read by setup.py: keep the CMake build there  |
"""

import os


def backend() -> str:
    """Name in TSSSL_BACKEND, or "" where it is unset."""
    return os.environ.get("TSSSL_BACKEND", "")


def variables() -> dict[str, str]:
    """Every TSSSL_ variable that is set, the unknown ones included: a misspelt name shows."""
    return {k: v for k, v in sorted(os.environ.items()) if k.startswith("TSSSL_")}
