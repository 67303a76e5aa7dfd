"""Blocks of pairs in numba: a tile of similarities by BLAS, then row by row its sums or its
gradient. csrc/contrastive/tile_walk.h has the exponent shift that `fixed` and `power` are about."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.blas import multiply
from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.ops.contrastive.numba.kernels import tiles
from tsssl_fast.ops.contrastive.numba.kernels.classes import (
    NEGATIVE,
    POSITIVE,
    Classes,
    classify,
    mixed,
)

# Quantities summed per row: those of spec.SUM_ROWS, then spec.STATISTICS.
(NEGATIVES, POSITIVES, LOGIT, COUNT, NEGATIVE_LOGIT, NEGATIVE_COUNT, POSITIVE_COUNT, UNIFORM) = (
    range(8)
)
NEGATIVE_TOP, POSITIVE_TOP, QUANTITIES = 8, 9, 10
_SPARE = QUANTITIES  # columns that nobody reads


class Side(NamedTuple):
    """Per-row arrays of queries or keys; one set: the same arrays for both."""

    rows: np.ndarray  # (N, D), normalised where asked
    total: np.ndarray  # (QUANTITIES, N) float64
    negative_shift: np.ndarray  # (N,)
    positive_shift: np.ndarray
    slopes: np.ndarray  # (3, N): of dL/da: negatives', positives', constant
    gradient: np.ndarray  # (N, D), or (0, D)


class Settings(NamedTuple):
    beta: float  # in the kernel's dtype
    power: int
    fixed: bool
    statistics: bool
    lowest: float  # in the kernel's dtype


class Memory(NamedTuple):
    """Working memory, one row per thread; where `kept`, one tile per task."""

    kept: bool  # logits stay where the sums leave them, for the gradient
    tile: np.ndarray  # block x block
    columns: np.ndarray  # (QUANTITIES + 1) x block
    kind: np.ndarray  # (block,) uint8
    ones: np.ndarray  # (block,) of 1


@part
def _similarities(q, k, rules, window, tile):
    """The products of a block's rows. A block of one set with itself gets one number for both
    orders of a pair: the gradient takes a pair's logit against the sums of both of its rows, and
    BLAS may round the two differently (OpenBLAS on AVX2 does; at beta = 200 the gradients of 300
    rows then had twice the error)."""
    i0, i1, j0, j1 = window
    multiply(q.rows[i0:i1], False, k.rows[j0:j1], True, 0.0, tile)
    if rules.one_set and i0 == j0:
        for i in range(1, i1 - i0):
            for j in range(i):
                tile[i, j] = tile[j, i]


@part
def maxima(q, k, rules, settings, window, memory, thread, place):
    """Largest logits per row and class, into the shifts of both sides."""
    i0, i1, j0, j1 = window
    height, width = i1 - i0, j1 - j0
    tile = memory.tile[place][: height * width].reshape((height, width))
    _similarities(q, k, rules, window, tile)
    kind = memory.kind[thread][:width]
    for r in range(height):
        a, i = tile[r], i0 + r
        classify(rules, i, j0, j1, kind)
        tiles.scale(a, settings.beta)
        negative, positive = k.negative_shift[j0:j1], k.positive_shift[j0:j1]
        top = tiles.largest(a, kind, NEGATIVE, settings.lowest, negative)
        q.negative_shift[i] = max(q.negative_shift[i], top)
        top = tiles.largest(a, kind, POSITIVE, settings.lowest, positive)
        q.positive_shift[i] = max(q.positive_shift[i], top)


@part
def _add_statistics(total, i, s, a, kind, ones, settings, columns):
    """Of one row; s holds similarities before they become logits."""
    spare = columns[_SPARE]
    total[UNIFORM, i] += tiles.spread(s, kind, columns[UNIFORM])
    tiles.scale(a, settings.beta)
    x, n = tiles.logits(a, kind, NEGATIVE, ones, columns[NEGATIVE_LOGIT], columns[NEGATIVE_COUNT])
    total[NEGATIVE_LOGIT, i] += x
    total[NEGATIVE_COUNT, i] += n
    _, n = tiles.logits(a, kind, POSITIVE, ones, spare, columns[POSITIVE_COUNT])
    total[POSITIVE_COUNT, i] += n
    for row, wanted in ((NEGATIVE_TOP, NEGATIVE), (POSITIVE_TOP, POSITIVE)):
        top = tiles.largest(a, kind, wanted, settings.lowest, columns[row])
        total[row, i] = max(total[row, i], np.float64(top))


@part
def _add_class(a, kind, wanted, weight, settings, shift, shifts, column):
    """Sum of exponentials of one class of a row, and into its columns."""
    if settings.fixed:
        return tiles.chosen(a, kind, wanted, weight, settings.power, column)
    tiles.shifted_columns(a, kind, wanted, weight, shifts, column)
    return tiles.shifted(a, kind, wanted, weight, shift)


@part
def sums(q, k, rules, settings, window, both, memory, thread, place):
    """Sums of a block of pairs, into the queries and, with `both`, into the keys; its logits are
    left in tile `place`."""
    i0, i1, j0, j1 = window
    total = q.total
    height, width = i1 - i0, j1 - j0
    tile = memory.tile[place][: height * width].reshape((height, width))
    _similarities(q, k, rules, window, tile)
    # Contiguous rows of `width`: with a stride between them no loop below becomes vectors.
    columns = memory.columns[thread][: (_SPARE + 1) * width].reshape((_SPARE + 1, width))
    kind = memory.kind[thread][:width]
    ones, any_rule = memory.ones[thread][:width], mixed(rules, i0, i1, j0, j1)
    columns[:NEGATIVE_TOP] = 0
    columns[NEGATIVE_TOP:] = settings.lowest
    for r in range(height):
        a, i = tile[r], i0 + r
        if settings.fixed and not any_rule and not settings.statistics:
            tiles.scale(a, settings.beta)
            total[NEGATIVES, i] += tiles.plain(a, settings.power, columns[NEGATIVES])
            continue
        first, last = classify(rules, i, j0, j1, kind)
        if settings.statistics:
            _add_statistics(total, i, a, a, kind, ones, settings, columns)
        else:
            tiles.scale(a, settings.beta)
        weight = rules.weight[i, j0:j1] if rules.weight.size > 0 else ones[: j1 - j0]
        shift, shifts = q.negative_shift[i], k.negative_shift[j0:j1]
        total[NEGATIVES, i] += _add_class(
            a, kind, NEGATIVE, weight, settings, shift, shifts, columns[NEGATIVES]
        )
        if first == last:
            continue
        a, few, weight = a[first:last], kind[first:last], weight[first:last]
        shift, shifts = q.positive_shift[i], k.positive_shift[j0 + first : j0 + last]
        total[POSITIVES, i] += _add_class(
            a, few, POSITIVE, weight, settings, shift, shifts, columns[POSITIVES, first:last]
        )
        x, n = tiles.logits(
            a, few, POSITIVE, weight, columns[LOGIT, first:last], columns[COUNT, first:last]
        )
        total[LOGIT, i] += x
        total[COUNT, i] += n
    if both:
        for row in range(QUANTITIES if settings.statistics else NEGATIVE_LOGIT):
            for j in range(width):
                if row < NEGATIVE_TOP:
                    k.total[row, j0 + j] += columns[row, j]
                else:
                    k.total[row, j0 + j] = max(k.total[row, j0 + j], np.float64(columns[row, j]))


@part
def _row_gradient(a, i, q, k, rules, settings, j0, j1, kind, ones):
    """dL/da of one row of pairs, in place of its similarities."""
    classify(rules, i, j0, j1, kind)
    weight = rules.weight[i, j0:j1] if rules.weight.size > 0 else ones[: j1 - j0]
    row = (q.slopes[0, i], q.slopes[1, i], q.slopes[2, i])
    column = (k.slopes[0, j0:j1], k.slopes[1, j0:j1], k.slopes[2, j0:j1])
    if settings.fixed:
        tiles.chosen_gradient(a, kind, weight, settings.power, row, column)
    else:
        shifts = (q.negative_shift[i], q.positive_shift[i])
        column_shifts = (k.negative_shift[j0:j1], k.positive_shift[j0:j1])
        tiles.shifted_gradient(a, kind, weight, row, shifts, column, column_shifts)


@part
def gradient(q, k, rules, settings, window, both, memory, thread, place):
    """The block's part of the gradient of the queries, and with `both` of the keys."""
    i0, i1, j0, j1 = window
    height, width = i1 - i0, j1 - j0
    tile = memory.tile[place][: height * width].reshape((height, width))
    if not memory.kept:
        _similarities(q, k, rules, window, tile)
    kind, ones = memory.kind[thread][:width], memory.ones[thread]
    plain = settings.fixed and not mixed(rules, i0, i1, j0, j1)
    for r in range(height):
        a = tile[r]
        if not memory.kept:
            tiles.scale(a, settings.beta)
        if plain:
            tiles.plain_gradient(a, settings.power, q.slopes[0, i0 + r], k.slopes[0, j0:j1])
        else:
            _row_gradient(a, i0 + r, q, k, rules, settings, j0, j1, kind, ones)
    multiply(tile, False, k.rows[j0:j1], False, 1.0, q.gradient[i0:i1])
    if both:
        multiply(tile, True, q.rows[i0:i1], False, 1.0, k.gradient[j0:j1])


__all__ = ["Classes", "Memory", "Settings", "Side", "gradient", "maxima", "sums"]
