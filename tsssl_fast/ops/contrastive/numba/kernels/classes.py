"""Which pairs of a row are positives, which negatives: csrc/contrastive/pair_rules.h in numba, from
arrays with one entry per row."""

# mypy: disable-error-code=no-untyped-def

from typing import NamedTuple

import numpy as np

from tsssl_fast.backends.numba.compiling import part

NONE, NEGATIVE, POSITIVE = np.uint8(0), np.uint8(1), np.uint8(2)


class Classes(NamedTuple):
    """Rules of M queries against P keys; an empty array: no such rule.

    partner: the one positive of each query, instead of ids. One set: the queries are the keys.
    """

    q_id: np.ndarray  # int64
    k_id: np.ndarray
    q_group: np.ndarray
    k_group: np.ndarray
    q_valid: np.ndarray  # uint8
    k_valid: np.ndarray
    mask: np.ndarray  # (M, P) uint8
    weight: np.ndarray  # (M, P) in the kernel's dtype
    partner: np.ndarray  # (M,) int64
    one_set: bool
    skip_diagonal: bool
    only_same: bool


@part
def mixed(rules, i0, i1, j0, j1):
    """Whether a block of pairs may hold anything but unweighted negatives."""
    given = rules.q_id.size + rules.q_group.size + rules.q_valid.size + rules.k_valid.size
    if given + rules.mask.size + rules.weight.size > 0:
        return True
    if (rules.one_set or rules.skip_diagonal) and i0 < j1 and j0 < i1:
        return True
    found = False
    for i in range(i0, i1 if rules.partner.size > 0 else i0):
        found = found or j0 <= rules.partner[i] < j1
    return found


@part
def classify(rules, i, j0, j1, out):
    """The classes of row i against columns j0 to j1 - 1, and the range of `out` that may hold
    positives."""
    width = j1 - j0
    if rules.q_valid.size > 0 and rules.q_valid[i] == 0:
        out[:width] = NONE
        return 0, 0
    if rules.k_valid.size > 0:
        for j in range(width):
            out[j] = NEGATIVE if rules.k_valid[j0 + j] != 0 else NONE
    else:
        out[:width] = NEGATIVE
    if rules.mask.size > 0:
        mask = rules.mask[i, j0:j1]
        for j in range(width):
            out[j] = out[j] if mask[j] != 0 else NONE
    if (rules.one_set or rules.skip_diagonal) and j0 <= i < j1:
        out[i - j0] = NONE
    first = last = 0
    if rules.partner.size > 0:
        if j0 <= rules.partner[i] < j1:
            first = rules.partner[i] - j0
            last = first + 1
            out[first] = POSITIVE
    elif rules.q_id.size > 0:
        last = width
        own, ids = rules.q_id[i], rules.k_id[j0:j1]
        for j in range(width):
            out[j] = POSITIVE if ids[j] == own and out[j] != NONE else out[j]
    if rules.q_group.size > 0:
        group, groups = rules.q_group[i], rules.k_group[j0:j1]
        for j in range(width):
            wrong = (groups[j] == group) != rules.only_same
            out[j] = NONE if wrong and out[j] == NEGATIVE else out[j]
    return first, last
