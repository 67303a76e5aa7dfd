"""Contrastive losses as modules, with the names that the field uses."""

import math

import torch
from torch import Tensor, nn

from tsssl_fast import functional
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.losses.queue import FeatureQueue

__all__ = [
    "CLIPLoss",
    "DCLLoss",
    "DCLWLoss",
    "HierarchicalContrastiveLoss",
    "InfoNCELoss",
    "MoCoLoss",
    "NTXentLoss",
    "SigLIPLoss",
    "SupConLoss",
    "TripletLoss",
]


class _Contrastive(nn.Module):
    """What they share: a temperature, a reduction, a backend (None chooses; a name never falls
    back)."""

    def __init__(
        self, temperature: float = 0.1, reduction: str = "mean", *, backend: str | None = None
    ) -> None:
        super().__init__()
        self.temperature = checks.positive("temperature", temperature)
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        self.reduction = reduction
        self.backend = backend

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, reduction={self.reduction!r}"


class NTXentLoss(_Contrastive):
    """NT-Xent of two views (SimCLR); see :func:`tsssl_fast.functional.nt_xent`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,) for reduction="none".
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "mean",
        *,
        precision: str | None = None,
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction, backend=backend)
        arguments.check_precision(precision, None, self.temperature)
        self.precision = precision

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return functional.nt_xent(
            *(z1, z2, self.temperature, self.reduction),
            precision=self.precision,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        more = "" if self.precision is None else f", precision={self.precision!r}"
        return super().extra_repr() + more


class InfoNCELoss(_Contrastive):
    """InfoNCE of queries and keys; see :func:`tsssl_fast.functional.info_nce`.

    forward(q, k, negatives=None): (N, D), (N, D), (K, D) -> scalar, or (N,).
    """

    def forward(self, q: Tensor, k: Tensor, negatives: Tensor | None = None) -> Tensor:
        return functional.info_nce(
            q, k, self.temperature, self.reduction, negatives=negatives, backend=self.backend
        )


class DCLLoss(_Contrastive):
    """Decoupled contrastive loss; see :func:`tsssl_fast.functional.dcl`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return functional.dcl(z1, z2, self.temperature, self.reduction, backend=self.backend)


class DCLWLoss(_Contrastive):
    """DCL with von Mises-Fisher weights; see :func:`tsssl_fast.functional.dclw`.

    forward(z1, z2): (N, D), (N, D) -> scalar, or (2N,).
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sigma: float = 0.5,
        reduction: str = "mean",
        *,
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction, backend=backend)
        self.sigma = checks.positive("sigma", sigma)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return functional.dclw(
            z1, z2, self.temperature, self.sigma, self.reduction, backend=self.backend
        )


class SupConLoss(_Contrastive):
    """Supervised contrastive loss; see :func:`tsssl_fast.functional.sup_con`.

    forward(z, labels): (M, D), (M,) integers -> scalar, or (M,).
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "mean",
        *,
        mean_over: str = "with_positive",
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction, backend=backend)
        self.mean_over = mean_over

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return functional.sup_con(
            z,
            labels,
            self.temperature,
            self.reduction,
            mean_over=self.mean_over,
            backend=self.backend,
        )


class CLIPLoss(nn.Module):
    """CLIP loss with its learnable logit scale; see :func:`tsssl_fast.functional.clip_loss`.

    The parameter is the logarithm of the scale; the scale is clamped to `max_scale`, as published.
    forward(image, text): (N, D), (N, D) -> scalar, or (2N,).
    """

    def __init__(
        self,
        temperature: float = 0.07,
        max_scale: float = 100.0,
        reduction: str = "mean",
        *,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        start = -math.log(checks.positive("temperature", temperature))
        self.log_scale = nn.Parameter(torch.tensor(start))
        self.max_log_scale = math.log(checks.positive("max_scale", max_scale))
        self.reduction = reduction
        self.backend = backend

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        scale = self.log_scale.clamp(max=self.max_log_scale).exp()
        return functional.clip_loss(image, text, scale, self.reduction, backend=self.backend)


class SigLIPLoss(nn.Module):
    """Sigmoid pair loss with learnable scale and bias; see
    :func:`tsssl_fast.functional.sigmoid_pair_loss`.

    forward(image, text): (N, D), (N, D) -> scalar, or (N,).
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        reduction: str = "mean",
        *,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        self.log_scale = nn.Parameter(torch.tensor(math.log(checks.positive("scale", scale))))
        self.bias = nn.Parameter(torch.tensor(float(bias)))
        self.reduction = reduction
        self.backend = backend

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        scale = self.log_scale.exp()
        return functional.sigmoid_pair_loss(
            image, text, scale, self.bias, self.reduction, backend=self.backend
        )


class MoCoLoss(_Contrastive):
    """InfoNCE against a queue of past keys (He et al., CVPR 2020), which it fills itself.

    Args:
        dim, size: of the queue; see :class:`FeatureQueue`.

    forward(q, k): (N, D), (N, D) -> scalar, or (N,). k, the momentum encoder's, gets no gradient.
    In training mode it enters the queue when the next forward starts, or the state is saved: the
    backward still reads the queue as it was, and nothing is copied.
    """

    def __init__(
        self,
        dim: int,
        size: int = 65536,
        temperature: float = 0.2,
        reduction: str = "mean",
        *,
        backend: str | None = None,
    ) -> None:
        super().__init__(temperature, reduction, backend=backend)
        self.queue = FeatureQueue(dim, size)
        self._pending: Tensor | None = None
        self.register_state_dict_pre_hook(lambda module, *_: module.flush())

    def flush(self) -> None:
        """Moves the last batch's keys into the queue."""
        if self._pending is not None:
            self.queue.push(self._pending)
            self._pending = None

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        self.flush()
        k = k.detach()
        loss = functional.info_nce(
            q,
            k,
            self.temperature,
            self.reduction,
            negatives=self.queue.features.to(q.dtype),
            negatives_valid=self.queue.valid(),
            backend=self.backend,
        )
        if self.training:
            self._pending = k
        return loss


class TripletLoss(nn.Module):
    """Triplet loss on the hardest negative; see :func:`tsssl_fast.functional.triplet`.

    forward(z, labels): (M, D), (M,) integers -> scalar, or (M,).
    """

    def __init__(
        self, margin: float = 0.2, reduction: str = "mean", *, backend: str | None = None
    ) -> None:
        super().__init__()
        checks.at_least("margin", margin, 0.0)
        checks.choice("reduction", reduction, checks.REDUCTIONS)
        self.margin = margin
        self.reduction = reduction
        self.backend = backend

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return functional.triplet(z, labels, self.margin, self.reduction, backend=self.backend)


class HierarchicalContrastiveLoss(nn.Module):
    """TS2Vec's loss; see :func:`tsssl_fast.functional.hierarchical_contrastive`.

    forward(z1, z2, lengths=None): (B, T, D), (B, T, D), (B,) -> scalar.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        temperature: float = 1.0,
        *,
        normalize: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        checks.at_least("alpha", alpha, 0.0)
        self.alpha = alpha
        self.temperature = checks.positive("temperature", temperature)
        self.normalize = normalize
        self.backend = backend

    def forward(self, z1: Tensor, z2: Tensor, lengths: Tensor | None = None) -> Tensor:
        return functional.hierarchical_contrastive(
            z1,
            z2,
            alpha=self.alpha,
            temperature=self.temperature,
            normalize=self.normalize,
            lengths=lengths,
            backend=self.backend,
        )
