"""info-nce-pytorch: `from tsssl_fast.compat.info_nce import InfoNCE, info_nce`.

Where the results differ from its code, on purpose; a and b are torch.randn(8, 16) in float64, drawn
one after the other from torch.manual_seed(0):

* 16-bit inputs are computed in float32 and rounded once at the end: of a and b in float16 at
  temperature 0.02 the loss is 15.1406, there 15.1484; in float64 it is 15.1433.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import result, widened
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp

__all__ = ["InfoNCE", "info_nce"]


def info_nce(
    query: Tensor,
    positive_key: Tensor,
    negative_keys: Tensor | None = None,
    temperature: float = 0.1,
    reduction: str = "mean",
    negative_mode: str = "unpaired",
) -> Tensor:
    """InfoNCE of cosines (van den Oord et al., 2018); see
    :func:`tsssl_fast.functional.info_nce_loss`.

    Args:
        query, positive_key: (N, D). negative_keys: None: the other queries' keys; (K, D) for
            negative_mode "unpaired", of every query; (N, S, D) for "paired", of its own alone.
        temperature: > 0. reduction: "mean", "sum" or "none" for (N,).

    Raises ValueError for a shape, mode or reduction that is not accepted, TypeError for a dtype
    that is not floating, naming the argument.
    """
    _check(query, positive_key, negative_keys, negative_mode)
    if negative_keys is not None and negative_keys.dim() == 3:
        loss = _against_own(query, positive_key, negative_keys, temperature)
        return result(checks.reduce(loss, reduction), query)
    loss = functional.info_nce_loss(
        query,
        positive_key,
        temperature=temperature,
        negatives=negative_keys,
        reduction=reduction,
    )
    return result(loss, query)


def _against_own(query: Tensor, positive_key: Tensor, keys: Tensor, tau: float) -> Tensor:
    """One product a query: as much work as reading the keys, in plain torch."""
    u, v, w = (normalize(x, dim=-1) for x in widened(query, positive_key, keys))
    negative = torch.einsum("nd,nsd->ns", u, w).div(tau).logsumexp(dim=1)
    positive = (u * v).sum(dim=1) / tau
    return log1p_exp(negative - positive)


def _check(query: Tensor, key: Tensor, negatives: Tensor | None, mode: str) -> None:
    if query.dim() != 2:
        raise ValueError(f"query: shape {tuple(query.shape)}; accepted: (N, D)")
    if key.shape != query.shape:
        raise ValueError(
            f"positive_key: shape {tuple(key.shape)}; accepted: {tuple(query.shape)} as query"
        )
    if negatives is None:
        return
    checks.choice("negative_mode", mode, ("unpaired", "paired"))
    sizes = tuple(negatives.shape)
    count = (len(query),) if mode == "paired" else ()
    if len(sizes) != len(count) + 2 or sizes[-1] != query.shape[1] or sizes[: len(count)] != count:
        accepted = f"({len(query)}, S, D)" if mode == "paired" else "(K, D)"
        raise ValueError(
            f"negative_keys: shape {sizes} with negative_mode={mode!r}; accepted: {accepted} with "
            f"D = {query.shape[1]}"
        )


class InfoNCE(DeclaredModule):
    """:func:`info_nce` with its options kept.

    forward(query, positive_key, negative_keys=None): errors as of :func:`info_nce`.
    """

    temperature: float = 0.1
    reduction: str = "mean"
    negative_mode: str = "unpaired"

    def forward(
        self, query: Tensor, positive_key: Tensor, negative_keys: Tensor | None = None
    ) -> Tensor:
        return info_nce(
            query,
            positive_key,
            negative_keys,
            temperature=self.temperature,
            reduction=self.reduction,
            negative_mode=self.negative_mode,
        )
