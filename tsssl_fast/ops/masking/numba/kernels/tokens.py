"""Kernels of `gather_tokens` and `restore_tokens`."""


# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part
from tsssl_fast.backends.numba.launching import kernel, take


@part
def _copy(x, y):
    for d in range(len(x)):
        y[d] = x[d]


@kernel
def gather(counter, thread, x, keep, out):
    n, k = keep.shape
    while True:
        i = take(counter)
        if i >= n:
            break
        for j in range(k):
            _copy(x[i, keep[i, j]], out[i, j])


@kernel
def restore(counter, thread, visible, keep, token, out):
    """token: (D,)."""
    n, k = keep.shape
    while True:
        i = take(counter)
        if i >= n:
            break
        following = 0
        for row in range(out.shape[1]):
            if following < k and keep[i, following] == row:
                _copy(visible[i, following], out[i, row])
                following += 1
            else:
                _copy(token, out[i, row])


@kernel
def token_gradient(counter, thread, grad, keep, sums):
    """sums: (N, D) float64, over the rows of a sample that keep leaves out."""
    n, k = keep.shape
    while True:
        i = take(counter)
        if i >= n:
            break
        sums[i] = 0.0
        following = 0
        for row in range(grad.shape[1]):
            if following < k and keep[i, following] == row:
                following += 1
                continue
            for d in range(grad.shape[2]):
                sums[i, d] += np.float64(grad[i, row, d])
