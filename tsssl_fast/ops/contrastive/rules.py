"""Which pairs count, and how: the arguments of `pair_logsumexp` beside its operands."""

from typing import NamedTuple

from torch import Tensor

GROUP_RULES = ("none", "exclude_same", "only_same")


class Rules(NamedTuple):
    """Rules of M queries against P keys; with k = None one set against itself without self-pairs,
    and the q_ arrays serve both sides.

    q_id, k_id: (M,), (P,) int64: a pair with equal ids is a positive, every other a negative.
    q_group, k_group: (M,), (P,) int64; group_rule: index into GROUP_RULES, which negatives count.
    q_valid, k_valid: (M,), (P,) bool: False takes part in no pair.
    mask: (M, P) bool: False takes no part. weight: (M, P) >= 0: multiplies exp(logit) and weighs
    the mean over positives; a constant, no gradient.
    normalize: cosine instead of dot product. symmetric: also one row per key, against all queries.
    skip_diagonal: two sets of the same rows: pair (i, i) takes no part.
    """

    q_id: Tensor | None
    k_id: Tensor | None
    q_group: Tensor | None
    k_group: Tensor | None
    q_valid: Tensor | None
    k_valid: Tensor | None
    mask: Tensor | None
    weight: Tensor | None
    normalize: bool
    symmetric: bool
    skip_diagonal: bool
    group_rule: int
