"""Second moments of a small side in numba: summed from parts of the depth, whose rows or columns
are standardised as they are multiplied with themselves, half of the products.

A part has its own place, and the parts are added in order: the same bits for any number of threads.
"""

# mypy: disable-error-code=no-untyped-def

from tsssl_fast._jit import add_own_product, kernel, part, take
from tsssl_fast.ops.decorrelation.numba_kernels import DEPTH, ROWS, square_sum, standard


@kernel
def moments_in_parts(counter, thread, views, gram, size, tile, parts, squares):
    """parts[v, p]: the upper triangle of x x^T where `gram`, of x^T x otherwise, over `size` terms
    of the depth, standardised as they are needed; squares[v, p] (gram): the rows' sums of squares.
    """
    n, dim = views[0].z.shape
    depth = dim if gram else n
    count = parts.shape[1]
    while True:
        task = take(counter)
        if task >= len(parts) * count:
            break
        v, p = task // count, task % count
        z, columns = views[v]
        part, square = parts[v], squares[v]
        before = 0.0
        square[p] = 0.0
        for k0 in range(p * size, min((p + 1) * size, depth), DEPTH):
            k1 = min(k0 + DEPTH, min((p + 1) * size, depth))
            if gram:
                x = tile[thread][: n * (k1 - k0)].reshape((n, k1 - k0))
                for i in range(n):
                    standard(z[i, k0:k1], columns, k0, x[i])
                    square[p, i] += square_sum(x[i])
            else:
                x = tile[thread][: (k1 - k0) * dim].reshape((k1 - k0, dim))
                for i in range(k1 - k0):
                    standard(z[k0 + i], columns, 0, x[i])
            add_own_product(x, not gram, before, part[p])
            before = 1.0


@kernel
def collect(counter, thread, parts, out, sums):
    """out[v] = the sum of a view's parts, mirrored; sums[v, i]: twice the squares right of the
    diagonal."""
    side = out.shape[1]
    tasks = (side + ROWS - 1) // ROWS
    while True:
        task = take(counter)
        if task >= len(parts) * tasks:
            break
        v, begin = task // tasks, task % tasks * ROWS
        part, made = parts[v], out[v]
        for i in range(begin, min(begin + ROWS, side)):
            row = made[i, i:side]
            row[:] = 0.0
            for p in range(len(part)):
                _add(row, part[p, i, i:side])
            sums[v, i] = 2 * square_sum(row[1:])
            for j in range(1, len(row)):
                made[i + j, i] = row[j]


@part
def _add(total, x):
    for c in range(len(total)):
        total[c] += x[c]
