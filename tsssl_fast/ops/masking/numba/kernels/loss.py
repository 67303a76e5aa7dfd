"""Kernels of `masked_loss`."""


# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take
from tsssl_fast.ops.masking.numba.kernels.mask import PARTIALS, TASK_ELEMENTS, tree
from tsssl_fast.ops.masking.spec import Loss

MSE, L1 = int(Loss.MSE), int(Loss.L1)


@part
def _penalty(d, kind, delta, half):
    if kind == MSE:
        return d * d
    a = abs(d)
    if kind == L1:
        return a
    return half * d * d if a <= delta else delta * (a - half * delta)


@part
def _slope(d, kind, delta):
    if kind == MSE:
        return d + d
    if kind == L1:
        return np.sign(d)
    return max(-delta, min(d, delta))


@part
def _add(pred, target, m, weight, weighted, kind, delta, total, divisor):
    """Weighted penalties and weights of a flat sample, in float64; total, divisor: 32 partial sums
    each, which become vectors and keep the digits of long series."""
    total[:] = 0.0
    divisor[:] = 0.0
    one, half = pred.dtype.type(1), pred.dtype.type(0.5)
    for begin in range(0, len(pred), PARTIALS):
        for i in range(min(PARTIALS, len(pred) - begin)):
            t = begin + i
            w = weight[t] if weighted else one
            e = _penalty(pred[t] - target[t], kind, delta, half)
            total[i] += np.float64(w * e) if m[t] else 0.0
            divisor[i] += np.float64(w) if m[t] else 0.0
    return tree(total), tree(divisor)


@kernel
def loss(counter, thread, pred, target, m, weight, kind, delta, partial, sums):
    """pred, target, m: (N, elements); weight: of that shape, or empty; partial: (threads, 2, 32)
    and sums: (N, 2), float64."""
    n, elements = pred.shape
    weighted = len(weight) > 0
    slack = pred.dtype.type(delta)
    total, divisor = partial[thread, 0], partial[thread, 1]
    group = max(1, TASK_ELEMENTS // elements)
    while True:
        begin = take(counter) * group
        if begin >= n:
            break
        for i in range(begin, min(begin + group, n)):
            w = weight[i] if weighted else pred[i]
            row = (pred[i], target[i], m[i], w, weighted, kind, slack, total, divisor)
            sums[i, 0], sums[i, 1] = _add(*row)


@kernel
def loss_backward(counter, thread, factors, means, pred, target, m, weight, kind, delta, gp, gw):
    """factors, means: (N,), upstream gradient over divisor and mean of every sample."""
    n, elements = pred.shape
    weighted = len(weight) > 0
    number = pred.dtype.type
    zero, one, half, slack = number(0), number(1), number(0.5), number(delta)
    group = max(1, TASK_ELEMENTS // elements)
    while True:
        begin = take(counter) * group
        if begin >= n:
            break
        for i in range(begin, min(begin + group, n)):
            for t in range(elements):
                d = pred[i, t] - target[i, t]
                w = weight[i, t] if weighted else one
                gp[i, t] = factors[i] * w * _slope(d, kind, slack) if m[i, t] else zero
                if weighted:
                    e = _penalty(d, kind, slack, half) - means[i]
                    gw[i, t] = factors[i] * e if m[i, t] else zero
