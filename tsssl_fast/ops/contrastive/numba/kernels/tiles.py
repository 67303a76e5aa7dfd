"""One row of a tile of similarities: csrc/contrastive/tile_walk.h. Sums over the row come
back, sums over the columns are added to; nothing of the tile is kept.

Loops without branches or calls, so that they become vectors. `ones` stands in for weights.
"""

# mypy: disable-error-code=no-untyped-def

from tsssl_fast.backends.numba.compiling import SUMS, part
from tsssl_fast.ops.contrastive.numba.kernels.classes import NONE, POSITIVE
from tsssl_fast.ops.contrastive.numba.kernels.exp import exp_negative, exp_scaled


@part
def scale(a, beta):
    """Logits in place: what is compared and later subtracted has to be one number."""
    for j in range(len(a)):
        a[j] = a[j] * beta


@part(fastmath=SUMS)
def plain(a, power, column):
    """Sum of exp(a) 2^-power, all of them negatives."""
    total = a.dtype.type(0)
    for j in range(len(a)):
        e = exp_scaled(a[j], power)
        total += e
        column[j] += e
    return total


@part(fastmath=SUMS)
def chosen(a, kind, wanted, weight, power, column):
    """The same over one class, weighted."""
    zero = a.dtype.type(0)
    total = zero
    for j in range(len(a)):
        e = exp_scaled(a[j], power) * weight[j]
        e = e if kind[j] == wanted else zero
        total += e
        column[j] += e
    return total


@part(fastmath=SUMS)
def shifted(a, kind, wanted, weight, shift):
    """Sum over one class of exp(a - shift), weighted."""
    zero = a.dtype.type(0)
    total = zero
    for j in range(len(a)):
        e = exp_negative(a[j] - shift) * weight[j]
        total += e if kind[j] == wanted else zero
    return total


@part
def shifted_columns(a, kind, wanted, weight, shift, column):
    """The same with a shift for every column, into the columns."""
    zero = a.dtype.type(0)
    for j in range(len(a)):
        e = exp_negative(a[j] - shift[j]) * weight[j]
        column[j] += e if kind[j] == wanted else zero


@part(fastmath=SUMS)
def logits(a, kind, wanted, weight, column, counts):
    """Summed weighted logits of one class, and summed weights."""
    zero = a.dtype.type(0)
    total, count = zero, zero
    for j in range(len(a)):
        w = weight[j] if kind[j] == wanted else zero
        x = a[j] * weight[j] if kind[j] == wanted else zero
        total += x
        count += w
        column[j] += x
        counts[j] += w
    return total, count


@part
def largest(a, kind, wanted, start, column):
    """The largest logit of one class, at least `start`."""
    top = start
    for j in range(len(a)):
        x = a[j] if kind[j] == wanted else start
        top = x if x > top else top
        column[j] = x if x > column[j] else column[j]
    return top


@part(fastmath=SUMS)
def spread(s, kind, column):
    """Sum over all pairs of exp(-2 ||u_i - u_j||^2) = exp(4 s - 4)."""
    number = s.dtype.type
    zero, four = number(0), number(4)
    total = zero
    for j in range(len(s)):
        e = exp_negative(s[j] * four - four)
        e = e if kind[j] != NONE else zero
        total += e
        column[j] += e
    return total


@part
def plain_gradient(a, power, own, column):
    """dL/da of negatives in place: exp(a) 2^-power (own + the column's)."""
    for j in range(len(a)):
        a[j] = exp_scaled(a[j], power) * (own + column[j])


@part
def chosen_gradient(a, kind, weight, power, row, column):
    """The same for any classes; row and column hold the factors of negatives and of positives and
    the positives' constant."""
    zero = a.dtype.type(0)
    negatives, positives, constants = column
    negative, positive, constant = row
    for j in range(len(a)):
        is_positive = kind[j] == POSITIVE
        factor = positive + positives[j] if is_positive else negative + negatives[j]
        w = exp_scaled(a[j], power) * factor
        w = w - (constant + constants[j]) if is_positive else w
        a[j] = zero if kind[j] == NONE else w * weight[j]


@part
def shifted_gradient(a, kind, weight, row, shifts, column, column_shifts):
    """The same where every row has its own shifts, of negatives and of positives."""
    zero = a.dtype.type(0)
    negatives, positives, constants = column
    negative, positive, constant = row
    for j in range(len(a)):
        is_positive = kind[j] == POSITIVE
        own_shift = shifts[1] if is_positive else shifts[0]
        other_shift = column_shifts[1][j] if is_positive else column_shifts[0][j]
        own = positive if is_positive else negative
        other = positives[j] if is_positive else negatives[j]
        w = exp_negative(a[j] - own_shift) * own + exp_negative(a[j] - other_shift) * other
        w = w - (constant + constants[j]) if is_positive else w
        a[j] = zero if kind[j] == NONE else w * weight[j]
