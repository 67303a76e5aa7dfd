#!/bin/sh
# Objects of one instruction set must export nothing weak: the linker keeps one copy of a weak
# symbol, and if that is the AVX-512 one, other processors stop at an illegal instruction.
# Arguments: object files. DW.ref.* are the exception tables' data references: no code.
set -eu
weak=$(nm -C "$@" | grep -E ' [VWu] ' | grep -v ' DW\.ref\.' || true)
if [ -n "$weak" ]; then
    echo "weak symbols in objects that are compiled once per instruction set:"
    echo "$weak"
    exit 1
fi
