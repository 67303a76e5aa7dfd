"""The operation codes and columns of spec.py as constants of Triton, and sets of codes as bits."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code

TIME_FLIP = tl.constexpr(int(Code.TIME_FLIP))
SIGN_FLIP = tl.constexpr(int(Code.SIGN_FLIP))
BLOCKOUT = tl.constexpr(int(Code.BLOCKOUT))
RANDOM_NOISE = tl.constexpr(int(Code.RANDOM_NOISE))
CROP_RESIZE = tl.constexpr(int(Code.CROP_RESIZE))
MAGNITUDE_WARP = tl.constexpr(int(Code.MAGNITUDE_WARP))
TIME_WARP = tl.constexpr(int(Code.TIME_WARP))
SMOOTH = tl.constexpr(int(Code.SMOOTH))
GROUP = tl.constexpr(int(Code.GROUP))
CHANNEL_FLIP = tl.constexpr(int(Code.CHANNEL_FLIP))
BIDIRECTIONAL_FLIP = tl.constexpr(int(Code.BIDIRECTIONAL_FLIP))
JITTER = tl.constexpr(int(Code.JITTER))
RANDOM_CROP = tl.constexpr(int(Code.RANDOM_CROP))
SCALE = tl.constexpr(int(Code.SCALE))
TIME_SCALE = tl.constexpr(int(Code.TIME_SCALE))
CHANNEL_PERMUTATION = tl.constexpr(int(Code.CHANNEL_PERMUTATION))
ROTATION = tl.constexpr(int(Code.ROTATION))
SEGMENT_PERMUTATION = tl.constexpr(int(Code.SEGMENT_PERMUTATION))
TIME_SHIFT = tl.constexpr(int(Code.TIME_SHIFT))
WINDOW_SLICE = tl.constexpr(int(Code.WINDOW_SLICE))
WINDOW_WARP = tl.constexpr(int(Code.WINDOW_WARP))
DRIFT = tl.constexpr(int(Code.DRIFT))
CHANNEL_DROPOUT = tl.constexpr(int(Code.CHANNEL_DROPOUT))
TIME_DROPOUT = tl.constexpr(int(Code.TIME_DROPOUT))
QUANTIZE = tl.constexpr(int(Code.QUANTIZE))
MAGNITUDE_SPLINE = tl.constexpr(int(Code.MAGNITUDE_SPLINE))


def bits(*codes: Code) -> int:
    """A set of operations as an integer: bit c stands for code c."""
    return sum(1 << code for code in set(codes))


ALL_BITS = bits(*(set(Code) - spec.PLAIN))
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
NOISE_BITS = tl.constexpr(bits(Code.RANDOM_NOISE, Code.JITTER))
CUT_BITS = tl.constexpr(bits(Code.BLOCKOUT, Code.RANDOM_CROP, Code.CHANNEL_DROPOUT))
DROP_BITS = tl.constexpr(bits(Code.TIME_DROPOUT))
MULTIPLY_BITS = tl.constexpr(
    bits(Code.SIGN_FLIP, Code.SCALE, Code.MAGNITUDE_WARP, Code.MAGNITUDE_SPLINE)
)
DRIFT_BITS = tl.constexpr(bits(Code.DRIFT))
QUANTIZE_BITS = tl.constexpr(bits(Code.QUANTIZE))
ROTATE_BITS = tl.constexpr(bits(Code.ROTATION))
# Parameters: slots 1, 2, ... are a list; some slots are; they are normals; they are ranks.
LISTS_BITS = tl.constexpr(
    bits(Code.SIGN_FLIP, Code.CHANNEL_DROPOUT, Code.CHANNEL_PERMUTATION),
)
NORMALS_BITS = tl.constexpr(bits(Code.SCALE, Code.DRIFT, Code.MAGNITUDE_SPLINE))
RANK_BITS = tl.constexpr(bits(Code.GROUP, Code.CHANNEL_PERMUTATION, Code.SEGMENT_PERMUTATION))

LISTED_BITS = tl.constexpr(
    LISTS_BITS.value
    | NORMALS_BITS.value
    | RANK_BITS.value
    | bits(Code.MAGNITUDE_WARP, Code.TIME_WARP)
)

# A row of the plan is a row of the program, then the number of its first slot.
A = tl.constexpr(spec.COLUMNS - spec.ARGUMENTS)
OFFSET = tl.constexpr(spec.COLUMNS)
PLAN_COLUMNS = tl.constexpr(spec.COLUMNS + 1)
OCCURRENCE = tl.constexpr(spec.OCCURRENCE)
VIEW = tl.constexpr(spec.VIEW)
THRESHOLD = tl.constexpr(spec.THRESHOLD)
FIXED_SLOTS = tl.constexpr(spec.FIXED_SLOTS)
CHANNEL_SLOTS = tl.constexpr(spec.CHANNEL_SLOTS)
PARENT = tl.constexpr(spec.PARENT)
CHILD = tl.constexpr(spec.CHILD)
ELEMENT_PURPOSE = tl.constexpr(spec.ELEMENT_PURPOSE)
CHANNEL_SHIFT = tl.constexpr(spec.CHANNEL_SHIFT)
PARTIALS = tl.constexpr(spec.STD_PARTIALS)


@triton.constexpr_function
def occurs(mask, code, other=0):
    """Whether a set holds one of two codes, at compile time."""
    return (mask >> code | mask >> other) & 1 != 0


@triton.constexpr_function
def any_of(mask, others):
    """Whether two sets meet, at compile time."""
    return mask & others != 0


@triton.jit
def among(code, BITS: tl.constexpr):
    """Whether a code that is data belongs to a set."""
    return ((tl.full((), BITS, tl.int32) >> code) & 1) != 0
