"""python -m tsssl_fast.gpu [--target sm_90] [--match WORD]: what every Triton kernel compiles to.

Exit status 1 where a kernel spills, exceeds its shared memory or lacks tensor-core instructions.
"""

import argparse
import sys

from tsssl_fast.gpu.table import HEADER, cases, row, walk
from tsssl_fast.gpu.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tsssl_fast.gpu", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--match", default="", help="only kernels whose name contains this")
    arguments = parser.parse_args()
    print(HEADER)
    defects = 0
    for found in walk(cases(arguments.target or list(TARGETS), arguments.match)):
        print(row(found), flush=True)
        defects += bool(found.defects())
    print(f"{defects} with defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
