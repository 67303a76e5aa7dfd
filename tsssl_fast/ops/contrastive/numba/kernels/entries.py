"""The kernels of the contrastive family in numba: the sources of csrc/contrastive.

A task is the meeting of two blocks of rows. Each block's meetings come in one order, whatever the
number of threads, so that sums into its rows have one order too; a thread waits until both blocks
are free. Groups are problems of their own side by side in one list of rows.
"""

# mypy: disable-error-code=no-untyped-def

import math

import numpy as np

from tsssl_fast.backends.numba import compiling
from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import advance, kernel, take, wait_for
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.numba.kernels import blocks
from tsssl_fast.ops.contrastive.numba.kernels.schedule import meeting

_LN2 = 0.6931471805599453
_ROWS = 32  # rows of a task that treats them one by one
_TINY = spec.TINY_NORM
MAXIMA, SUMS, GRADIENT = 0, 1, 2


@part(fastmath=compiling.SUMS)
def _dot(a, b):
    total = 0.0
    for d in range(len(a)):
        total += np.float64(a[d]) * np.float64(b[d])
    return total


@kernel
def prepare(counter, thread, z, place, valid, normalize, rows, scale):
    """Row i of z, over its norm where asked, to row place[i] of `rows` (-1: nowhere).

    scale: 1 / norm, 0 for rows that count as zero or are flagged.
    """
    count, dim = z.shape
    while True:
        begin = take(counter) * _ROWS
        if begin >= count:
            break
        for i in range(begin, min(begin + _ROWS, count)):
            at = place[i]
            if at < 0:
                continue
            live = valid.size == 0 or valid[i] != 0
            factor = 1.0 if live else 0.0
            if live and normalize:
                norm = math.sqrt(_dot(z[i], z[i]))
                factor = 0.0 if norm <= _TINY else 1.0 / norm
            scale[at] = factor
            for d in range(dim):
                rows[at, d] = z[i, d] * factor if live else 0.0


@kernel
def meet(counter, thread, phase, q, k, rules, settings, both, work, progress, memory):
    """One phase over all meetings; work: groups, columns (0: one set) and the number of tasks."""
    groups, columns, tasks = work
    while True:
        task = take(counter)
        if task >= tasks:
            break
        window, a, b, turn, other_turn = meeting(groups, columns, task)
        wait_for(progress, a, turn)
        if b >= 0:
            if b != a:
                wait_for(progress, b, other_turn)
            mirrored = both and a != b  # a block with itself holds every pair in both orders
            place = task if memory.kept else thread
            if phase == MAXIMA:
                blocks.maxima(q, k, rules, settings, window, memory, thread, place)
            elif phase == SUMS:
                blocks.sums(q, k, rules, settings, window, mirrored, memory, thread, place)
            else:
                blocks.gradient(q, k, rules, settings, window, mirrored, memory, thread, place)
            if b != a:
                advance(progress, b)
        advance(progress, a)


@kernel
def report(counter, thread, side, settings, live, saved, statistics):
    """The rows of spec.SUM_ROWS and spec.STATISTICS from the sums; live: (G, 2) ranges of rows."""
    # The fixed shift is a power of two inside; what is reported is relative to |beta|.
    beta = abs(np.float64(settings.beta))
    factor = math.exp(settings.power * _LN2 - beta) if settings.fixed else 1.0
    for g in range(len(live)):
        for i in range(live[g, 0], live[g, 1]):
            saved[0, i] = beta if settings.fixed else side.negative_shift[i]
            saved[1, i] = beta if settings.fixed else side.positive_shift[i]
            saved[2, i] = side.total[blocks.NEGATIVES, i] * factor
            saved[3, i] = side.total[blocks.POSITIVES, i] * factor
            saved[4, i] = side.total[blocks.COUNT, i]
            saved[5, i] = side.total[blocks.LOGIT, i]
            for x in range(len(statistics) if settings.statistics else 0):
                statistics[x, i] = side.total[blocks.NEGATIVE_LOGIT + x, i]


@kernel
def pair_values(counter, thread, saved, weighted, out):
    """log-sum-exp of negatives and of positives, and the gap; saved: rows of spec.SUM_ROWS."""
    for i in range(saved.shape[1]):
        count, logit = np.float64(saved[4, i]), np.float64(saved[5, i])
        # One unweighted positive: its logit is the log-sum-exp to the last bit.
        single = not weighted and count == 1
        positive = logit
        if not single:
            positive = np.float64(saved[1, i]) + math.log(np.float64(saved[3, i]))
        out[0, i] = np.float64(saved[0, i]) + math.log(np.float64(saved[2, i]))
        out[1, i] = positive
        out[2, i] = 0.0 if single or count == 0 else positive - logit / count


@kernel
def pair_slopes(counter, thread, saved, weighted, grad, settings, slopes):
    """dL/da = negative exp(a) - ...: the factors of every row's exponentials, and the constant."""
    for i in range(saved.shape[1]):
        count = np.float64(saved[4, i])
        single = not weighted and count == 1
        n, p = np.float64(saved[2, i]), np.float64(saved[3, i])
        on_positive, on_gap = np.float64(grad[1, i]), np.float64(grad[2, i])
        # exp(a - shift) = exp(a) 2^-power * factor, for whatever shift the forward chose.
        of_negatives = of_positives = 1.0
        if settings.fixed:
            of_negatives = math.exp(settings.power * _LN2 - np.float64(saved[0, i]))
            of_positives = math.exp(settings.power * _LN2 - np.float64(saved[1, i]))
        slopes[0, i] = 0.0 if n == 0 else np.float64(grad[0, i]) / n * of_negatives
        slopes[1, i] = 0.0
        if count != 0 and p != 0:
            slopes[1, i] = (on_positive if single else on_positive + on_gap) / p * of_positives
        slopes[2, i] = 0.0 if count == 0 or single else on_gap / count


@kernel
def nt_xent_values(counter, thread, saved, live, loss):
    """NT-Xent's loss of every row and 1 - P(positive); saved: rows of spec.NT_XENT_ROWS."""
    for g in range(len(live)):
        for i in range(live[g, 0], live[g, 1]):
            # No negative: log 0 = -inf gives loss 0 and 1 - P = 0.
            x = np.float64(saved[2, i]) + math.log(np.float64(saved[4, i]))
            x -= np.float64(saved[7, i])
            loss[i] = x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))
            saved[0, i] = 1.0 / (1.0 + math.exp(-x))


@kernel
def nt_xent_slopes(counter, thread, saved, live, grad, settings, slopes):
    for g in range(len(live)):
        for i in range(live[g, 0], live[g, 1]):
            slope = np.float64(grad[i]) * np.float64(saved[0, i])
            total = np.float64(saved[4, i])
            of_negatives = of_positives = 1.0
            if settings.fixed:
                of_negatives = math.exp(settings.power * _LN2 - np.float64(saved[2, i]))
                of_positives = math.exp(settings.power * _LN2 - np.float64(saved[3, i]))
            slopes[0, i] = 0.0 if total == 0 else slope / total * of_negatives
            slopes[1, i] = -slope / np.float64(saved[5, i]) * of_positives
            slopes[2, i] = 0.0


@kernel
def finish(counter, thread, side, scale, place, normalize, beta, out, along):
    """The gradient of row i of the input from row place[i] of the sides, zeros for -1; along[i]:
    <u_i, dL/du_i> / beta."""
    count, dim = out.shape
    while True:
        begin = take(counter) * _ROWS
        if begin >= count:
            break
        for i in range(begin, min(begin + _ROWS, count)):
            at = place[i]
            along[i] = 0.0
            if at < 0:
                out[i] = 0
                continue
            u, g = side.rows[at], side.gradient[at]
            dot = _dot(u, g)
            along[i] = dot
            projected = out.dtype.type(dot if normalize else 0.0)
            factor = scale[at] * beta
            for d in range(dim):
                out[i, d] = (g[d] - u[d] * projected) * factor
