"""python tools/gpu_objects [--target sm_90] [--match WORD] [--aligned]: what every Triton kernel
compiles to; with --aligned, in the form for sizes and strides that are multiples of 16.

Exit status 1 where a kernel has defects: spills, too much shared memory, no tensor-core
instructions, or no load of 128 bits where its layout allows one.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package is this script's own folder

from gpu_objects.table import HEADER, cases, row, walk
from gpu_objects.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/gpu_objects", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--match", default="", help="only kernels whose name contains this")
    parser.add_argument("--aligned", action="store_true", help="sizes that are multiples of 16")
    arguments = parser.parse_args()
    print(HEADER)
    defects = 0
    chosen = cases(arguments.target or list(TARGETS), arguments.match, arguments.aligned)
    for found in walk(chosen):
        print(row(found), flush=True)
        defects += bool(found.defects())
    print(f"{len(chosen)} forms, {defects} with defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
