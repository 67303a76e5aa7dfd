"""The constants of operation_table.py as those of Triton, and sets of codes as bits."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import zlib

import triton
import triton.language as tl

from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code, names

# Every code, argument, slot and choice of the table, and the columns of a row, by name.
globals().update({name: tl.constexpr(number) for name, number in names.constants().items()})
# Triton's cache on disk knows constants that a kernel names without a module, not those above.
TABLE_DIGEST = tl.constexpr(zlib.crc32(repr(names.constants()).encode()))


def bits(*codes: Code) -> int:
    """A set of operations as an integer: bit c stands for code c."""
    return sum(1 << code for code in set(codes))


ALL_BITS = bits(*names.KERNELS)
GATHER_BITS = tl.constexpr(
    bits(
        *(Code.TIME_FLIP, Code.CHANNEL_FLIP, Code.BIDIRECTIONAL_FLIP, Code.CHANNEL_PERMUTATION),
        *(Code.SEGMENT_PERMUTATION, Code.TIME_SHIFT),
    )
)
INTERPOLATE_BITS = tl.constexpr(
    bits(
        *(Code.CROP_RESIZE, Code.WINDOW_SLICE, Code.TIME_SCALE, Code.TIME_WARP, Code.WINDOW_WARP),
    )
)
SMOOTH_BITS = tl.constexpr(bits(Code.SMOOTH))
# Slots 1, 2, ... are a list; some are; a list is of normals, of ranks, of uniform numbers.
LISTS_BITS = tl.constexpr(bits(*(c for c in names.KERNELS if names.lists(c) == 1)))
LISTED_BITS = tl.constexpr(bits(*(c for c in names.KERNELS if names.lists(c) > 0)))
NORMALS_BITS = tl.constexpr(bits(Code.SCALE, Code.DRIFT, Code.MAGNITUDE_SPLINE))
RANK_BITS = tl.constexpr(bits(Code.GROUP, Code.CHANNEL_PERMUTATION, Code.SEGMENT_PERMUTATION))
UNIFORMS_BITS = tl.constexpr(LISTED_BITS.value & bits(*map(Code, names.UNIFORM_CODES)))

# A row of the plan is a row of the program, then the number of its first slot.
FIRST_ARGUMENT = tl.constexpr(spec.COLUMNS - spec.ARGUMENTS)
FIRST_SLOT = tl.constexpr(spec.COLUMNS)
PLAN_COLUMNS = tl.constexpr(spec.COLUMNS + 1)
ELEMENT_PURPOSE = tl.constexpr(spec.ELEMENT_PURPOSE)
CHANNEL_SHIFT = tl.constexpr(spec.CHANNEL_SHIFT)
PARTIALS = tl.constexpr(spec.STD_PARTIALS)


@triton.constexpr_function
def occurs(mask, code, other=0):
    """Whether a set holds one of two codes, at compile time."""
    return (mask >> code | mask >> other) & 1 != 0


@triton.constexpr_function
def any_of(mask, others):
    """Whether two sets have a code in common, at compile time."""
    return mask & others != 0


@triton.jit
def among(code, BITS: tl.constexpr):
    """Whether a code that is data belongs to a set."""
    return ((tl.full((), BITS, tl.int64) >> code) & 1) != 0
