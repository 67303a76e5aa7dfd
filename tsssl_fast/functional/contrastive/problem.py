"""What a contrastive loss is asked to compute, beside the embeddings: built and checked once."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.contrastive.rules import GROUP_RULES, Rules


@dataclass(frozen=True)
class PairTemperature:
    """Temperature by the relation of a pair: tau of positives, of negatives, and of negatives in
    the same group (None: as the other negatives). Floats > 0 or 0-d tensors (which get
    gradients)."""

    positive: float | Tensor
    negative: float | Tensor
    same_group: float | Tensor | None = None


Temperature = float | Tensor | PairTemperature

POSITIVES = ("mean_log", "log_sum")
DENOMINATORS = ("all", "negatives", "own_positive")
MEAN_OVER = ("all", "with_positive")


class Problem(NamedTuple):
    """The options of :func:`contrastive`, checked.

    rules: which of the M x P pairs count, as the kernels take it; `rules.weight` is dense.
    sparse_weight: the CSR pair_weight instead of it. negatives, query_keys: further keys, (K, D)
    and (M, S, D). own_targets: (M, S), of the latter. paired: the rules leave the pairs (i, i)
    alone, so that no product is needed. statistics: the k of their top-k accuracy, 0: none.
    precision, backend: as operators take them.
    """

    rules: Rules
    temperature: Temperature = 0.1
    positives: str = "mean_log"
    denominator: str = "all"
    sparse_weight: Tensor | None = None
    negatives: Tensor | None = None
    negatives_valid: Tensor | None = None
    query_keys: Tensor | None = None
    query_keys_valid: Tensor | None = None
    query_weight: Tensor | None = None
    targets: Tensor | None = None
    own_targets: Tensor | None = None
    hardness: float = 0.0
    debias: float = 0.0
    paired: bool = False
    statistics: int = 0
    reduction: str = "mean"
    mean_over: str = "all"
    precision: str = ""
    backend: str = ""

    @property
    def group_rule(self) -> str:
        return GROUP_RULES[self.rules.group_rule]

    @property
    def query_temperature(self) -> Tensor | None:
        """The (M,) temperature, where each query has its own."""
        tau = self.temperature
        return tau if isinstance(tau, Tensor) and tau.dim() else None


def inverse(temperature: float | Tensor, q: Tensor) -> Tensor:
    """beta = 1 / tau as a tensor."""
    if isinstance(temperature, Tensor):
        return 1 / temperature
    return torch.full((), 1 / temperature, dtype=widest(q), device=q.device)
