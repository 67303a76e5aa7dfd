"""What operations read of a whole row of a block, and the words of its steps, in Triton."""

# The body of a kernel is Triton's language, not Python.
# mypy: ignore-errors

import triton
import triton.language as tl

from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels.arithmetic import root, words
from tsssl_fast.ops.augment.triton.kernels.moves import at


@triton.jit
def _fixed_sum(x, c, mean, block, SQUARES: tl.constexpr, CB: tl.constexpr):
    """Sums of rows c in float64, (CB, 1): 32 strided partial sums and then a tree."""
    channels, steps, length = block
    part = tl.zeros((CB, codes.PARTIALS), tl.float64)
    for t0 in range(0, length, codes.PARTIALS):
        t = (t0 + tl.arange(0, codes.PARTIALS))[None, :]
        inside = (c < channels) & (t < length)
        v = tl.load(at(x, c, t, steps), mask=inside, other=0.0).to(tl.float64)
        if SQUARES:
            v = (v - mean) * (v - mean)
        part += tl.where(inside, v, 0.0)
    for level in tl.static_range(5):
        halves = tl.reshape(part, (CB, 2, codes.PARTIALS >> (level + 1)))
        low, high = tl.split(tl.permute(halves, (0, 2, 1)))
        part = low + high
    return part


@triton.jit
def row_mean(x, c, block, CB: tl.constexpr):
    total = _fixed_sum(x, c, 0.0, block, False, CB)
    return total / block[2].to(tl.float64)


@triton.jit
def row_std(x, c, block, CB: tl.constexpr):
    mean = row_mean(x, c, block, CB)
    return root(_fixed_sum(x, c, mean, block, True, CB) / block[2].to(tl.float64))


@triton.jit
def quads(key, stream, subject, c, q):
    """Four words for the steps 4 q to 4 q + 3 of channels c."""
    lo, hi = subject
    counter = (c.to(tl.uint32) << codes.CHANNEL_SHIFT) + q.to(tl.uint32)
    return words(key, counter, stream, lo, hi)


@triton.jit
def interleave(a, b, c, d, CB: tl.constexpr, TB: tl.constexpr):
    """(CB, TB / 4) each -> (CB, TB): a0 b0 c0 d0 a1 b1 ..."""
    return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (CB, TB))
