"""What the masked methods share: an encoder of tokens, and which of a series' patches are hidden."""

import torch
from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.augment import _ranges
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.masking.masks import hidden_count
from tsssl_fast.methods.base import Batch


def check_ratio(ratio: float) -> float:
    """A share of hidden patches, neither none nor all."""
    _ranges.interval("ratio", ratio, 0, 1, open_low=True, open_high=True)
    return float(ratio)


def check_encoder(encoder: nn.Module) -> PatchTransformer:
    if not isinstance(encoder, PatchTransformer):
        raise TypeError(
            f"encoder: {type(encoder).__name__}; accepted: PatchTransformer, which has tokens to hide"
        )
    return encoder


def hidden_patches(batch: Batch, patches: int, ratio: float, views: int = 1) -> Tensor:
    """(views, N, patches) bool from the step's seed; raises ValueError where the ratio hides
    nothing or everything."""
    if not 0 < hidden_count(ratio, patches) < patches:
        raise ValueError(
            f"ratio: {ratio}, hides {hidden_count(ratio, patches)} of the {patches} patches of a "
            f"series; accepted: one that hides some and leaves some"
        )
    shape = (len(batch.x), patches)
    return masking.random_mask(
        shape,
        ratio,
        views=views,
        seed=batch.seed,
        sample_ids=batch.sample_ids,
        device=batch.x.device,
    )


def standardised(patches: Tensor) -> Tensor:
    """Every patch (..., P) with mean 0 and deviation 1, as targets: detached."""
    with torch.no_grad():
        centred = patches - patches.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-2).sqrt()
