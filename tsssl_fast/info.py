"""What runs here and why: `python -m tsssl_fast.info [--warm]`.

Versions, every family's backends with the reasons against them, the instruction sets, the OpenMP
runtimes in this process, and the exception if the extension did not load. --warm: compiles first
what is otherwise compiled at its first use, and says how long that took.
"""

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from tsssl_fast import ops as ops  # registers the families
from tsssl_fast._version import __version__
from tsssl_fast.backends import cpp as native
from tsssl_fast.backends import dispatch, environment
from tsssl_fast.backends.contract import NotBuiltError

PACKAGES = ("numpy", "scipy", "numba", "triton", "scikit-learn", "aeon", "lightning-fabric")


def facts() -> dict[str, list[str]]:
    """The whole report by title, one fact a line."""
    return {
        "versions": [*_versions()],
        "compiled extension": [*_extension()],
        "threads": [*_threads()],
        "backends": [*_backends()],
        "environment": [*_environment()],
    }


def report() -> str:
    """`facts` as text."""
    lines = []
    for title, found in facts().items():
        lines += [f"{title}:", *(f"  {fact}" for fact in found)]
    return "\n".join(lines)


def _versions() -> Iterator[str]:
    yield f"tsssl_fast {__version__} in {Path(__file__).parent}"
    yield f"python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield f"torch {torch.__version__}"
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is not installed"


def _extension() -> Iterator[str]:
    error = native.ERROR
    if isinstance(error, NotBuiltError):
        yield f"not used: {error}"
        return
    if native.C is None:
        yield "did not load:"
        yield from "".join(traceback.format_exception(error)).rstrip().splitlines()
        return
    yield f"{native.C.__file__}"
    for isa in native.C.isas():
        why = native.C.why_not_isa(isa)
        state = (
            "in use" if isa == native.C.isa() else f"not supported: {why}" if why else "supported"
        )
        yield f"instruction set {isa}: {state}"


def openmp_runtimes() -> list[str]:
    """Paths of the OpenMP runtimes mapped into this process; empty where /proc does not tell.

    Two of them mean two pools of threads, which slow each other down.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "/" in line}
    return sorted(p for p in paths if Path(p).name.startswith(("libgomp", "libomp", "libiomp")))


def _threads() -> Iterator[str]:
    yield f"{torch.get_num_threads()} threads (torch.get_num_threads), {os.cpu_count()} processors"
    if native.C is not None and not native.C.openmp:
        yield "the extension is built without OpenMP: its kernels run on one thread"
    for path in openmp_runtimes():
        yield f"OpenMP runtime {path}"


def _backends() -> Iterator[str]:
    for family, backends in dispatch.families().items():
        for backend in backends:
            why = backend.why_not(next(iter(backend.kernels)), ())
            devices = ", ".join(sorted(backend.devices))
            yield f"{family}: {backend.name} on {devices}: {'; '.join(why) if why else 'can run'}"


def _environment() -> Iterator[str]:
    variables = environment.variables()
    for name, value in variables.items():
        yield f"{name}={value}"
    if not variables:
        yield "no TSSSL_ variable is set"


def warm() -> Iterator[str]:
    """Compiles every kernel that is compiled at its first use; a line per family and backend."""
    for family, backends in dispatch.families().items():
        for backend in backends:
            if backend.warm is None:
                continue
            why = backend.why_not(next(iter(backend.kernels)), ())
            if why:
                yield f"{family}: {backend.name} can not run: {'; '.join(why)}"
                continue
            begin = time.perf_counter()
            backend.warm()
            yield f"{family}: {backend.name} ready after {time.perf_counter() - begin:.1f} s"


def main() -> None:
    """`python -m tsssl_fast.info`: prints `report`; --warm compiles every Numba kernel first."""
    parser = argparse.ArgumentParser(description="What runs here and why.")
    parser.add_argument("--warm", action="store_true", help="compile every kernel first")
    if parser.parse_args().warm:
        for line in warm():
            print(line, file=sys.stderr, flush=True)
    print(report())


if __name__ == "__main__":
    main()
