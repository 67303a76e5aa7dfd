"""open_clip's contrastive losses (open_clip/loss.py). Features are taken as they are: its models
normalise them. Errors: TypeError for a dtype that is not floating, ValueError for another shape, a
scale that is not above 0 or another number of processes, NotImplementedError for what is not there,
AssertionError for an unknown dist_impl.

Where the results differ from its code, on purpose; a and b are torch.randn(8, 16) in float64, drawn
one after the other from torch.manual_seed(0):

* The loss of close views keeps its digits: unit rows of torch.eye(8) and it + 1e-3 b[:, :8], in
  float32 at a scale of 20, give 1.43621e-08, there 0.
* 16-bit features are computed in float32 and rounded once at the end: unit rows of a and b, made in
  bfloat16, at a scale of 20 give 6.78125, there 6.8125; in float64 they give 6.78192.
"""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import pair, refuse, refusing, result

__all__ = ["ClipLoss", "SigLipLoss"]

__getattr__ = refusing(
    __name__,
    {
        "CoCaLoss": "ClipLoss, and torch.nn.functional.cross_entropy of the captions",
        "DistillClipLoss": "ClipLoss, and its cross-entropy with the teacher's logits in torch",
    },
)

Loss = Tensor | dict[str, Tensor]
_FEATURES = ("image_features", "text_features")


class ClipLoss(DeclaredModule):
    """CLIP (Radford et al., ICML 2021); see :func:`tsssl_fast.functional.clip_loss`.

    Args:
        local_loss: across processes, this process's rows against all; False: all against all.
        gather_with_grad: other processes' rows have gradients (with local_loss and without it, the
            keys have none, this process's own included).
        cache_labels: there are none to keep. rank, world_size: of torch.distributed.

    forward(image_features, text_features, logit_scale, logit_bias=None, output_dict=False):
    (N, D), (N, D), a number > 0 or a tensor of one, which gets its gradient -> scalar in the
    features' dtype, or {"contrastive_loss": it}. A bias does not change a softmax.
    """

    local_loss: bool = False
    gather_with_grad: bool = False
    cache_labels: bool = False
    rank: int = 0
    world_size: int = 1
    use_horovod: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use_horovod:
            refuse("use_horovod=True", "torch.distributed carries the features")

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: float | Tensor,
        logit_bias: float | Tensor | None = None,
        output_dict: bool = False,
    ) -> Loss:
        image, text = pair(_FEATURES, image_features, text_features)
        tau = _temperature(logit_scale, image)
        if self.world_size == 1:
            loss = functional.clip_loss(image, text, temperature=tau, normalize=False)
        else:
            _check_processes(self.world_size)
            loss = self._among_processes(image, text, tau)
        if isinstance(logit_bias, Tensor):
            loss = loss + 0 * logit_bias.sum()  # a parameter with a gradient, which is 0
        return _named(result(loss, image), output_dict)

    def _among_processes(self, image: Tensor, text: Tensor, tau: float | Tensor) -> Tensor:
        images, texts = self._gathered(image), self._gathered(text)
        if not self.local_loss:
            return functional.clip_loss(
                torch.cat(images), torch.cat(texts), temperature=tau, normalize=False
            )
        start = sum(len(x) for x in images[: collectives.rank()])
        keys = torch.arange(sum(len(x) for x in images), device=image.device)
        own = keys[start : start + len(image)]
        both = [
            functional.contrastive_loss(
                q, torch.cat(k), temperature=tau, q_ids=own, k_ids=keys, normalize=False
            )
            for q, k in ((image, texts), (text, images))
        ]
        return (both[0] + both[1]) / 2

    def _gathered(self, x: Tensor) -> list[Tensor]:
        if self.gather_with_grad:
            return collectives.gather_parts(x)
        parts = collectives.gather_parts(x.detach())
        if not self.local_loss:
            parts[collectives.rank()] = x
        return parts


class SigLipLoss(DeclaredModule):
    """SigLIP (Zhai et al., ICCV 2023); see :func:`tsssl_fast.functional.siglip_loss`.

    Args:
        cache_labels: there are none to keep. rank, world_size: of torch.distributed; the texts of
            other processes are negatives, with gradient.
        dist_impl: "bidir", "shift", "reduce" or "gather", ways to the same number; the texts are
            gathered. chunk_size: no number of pairs is ever in memory.

    forward(image_features, text_features, logit_scale, logit_bias, output_dict=False): (N, D),
    (N, D), numbers or tensors of one, which get their gradients -> scalar in the features' dtype,
    or {"contrastive_loss": it}.
    """

    cache_labels: bool = False
    rank: int = 0
    world_size: int = 1
    dist_impl: str | None = None
    chunk_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ("bidir", "shift", "reduce", "gather")
        if (self.dist_impl or known[0]) not in known:
            raise AssertionError(f"dist_impl: {self.dist_impl!r}; accepted: {', '.join(known)}")
        self.dist_impl = self.dist_impl or known[0]

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: float | Tensor,
        logit_bias: float | Tensor | None,
        output_dict: bool = False,
    ) -> Loss:
        image, text = pair(_FEATURES, image_features, text_features)
        ids: dict[str, Any] = {}
        if self.world_size > 1:
            _check_processes(self.world_size)
            text = torch.cat(collectives.own_first(text))
            keys = torch.arange(len(text), device=text.device)
            ids = {"q_ids": keys[: len(image)], "k_ids": keys}
        loss = functional.siglip_loss(
            image,
            text,
            logit_scale=_number(logit_scale),
            logit_bias=0.0 if logit_bias is None else _number(logit_bias),
            normalize=False,
            **ids,
        )
        return _named(result(loss, image), output_dict)


def _number(value: float | Tensor) -> float | Tensor:
    return value.reshape(()) if isinstance(value, Tensor) else value


def _temperature(logit_scale: float | Tensor, features: Tensor) -> float | Tensor:
    """Its inverse: in float32 at least, in float64 for float64 features."""
    if isinstance(logit_scale, Tensor):
        wider = torch.promote_types(logit_scale.dtype, features.dtype)
        return 1 / logit_scale.reshape(()).to(torch.promote_types(wider, torch.float32))
    if not logit_scale > 0:
        raise ValueError(f"logit_scale: {logit_scale}; accepted: a number > 0")
    return 1 / logit_scale


def _named(loss: Tensor, output_dict: bool) -> Loss:
    return {"contrastive_loss": loss} if output_dict else loss


def _check_processes(world_size: int) -> None:
    if world_size != collectives.world_size():
        raise ValueError(
            f"world_size: {world_size}; accepted: {collectives.world_size()}, as torch.distributed"
        )
