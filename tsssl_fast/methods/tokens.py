"""What the masked methods share: an encoder of tokens, and which patches are hidden."""

from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.augment import validation
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.masking.masks import hidden_count
from tsssl_fast.methods.base import Batch


def check_ratio(ratio: float) -> float:
    """A share of hidden patches, neither none nor all."""
    validation.interval("ratio", ratio, 0, 1, open_low=True, open_high=True)
    return float(ratio)


def check_hides(ratio: float, units: int, name: str) -> float:
    """Raises ValueError where the ratio hides nothing or everything of a series."""
    hidden = hidden_count(ratio, units)
    if not 0 < hidden < units:
        raise ValueError(
            f"ratio: {ratio}, hides {hidden} of the {units} {name} of a series; accepted: one that "
            "hides some and leaves some"
        )
    return ratio


def check_encoder(encoder: nn.Module) -> PatchTransformer:
    if not isinstance(encoder, PatchTransformer):
        raise TypeError(
            f"encoder: {type(encoder).__name__}; accepted: PatchTransformer, which has tokens"
        )
    return encoder


def hidden_patches(batch: Batch, patches: int, ratio: float, views: int = 1) -> Tensor:
    """(views, N, patches) bool from the step's seed."""
    shape = (len(batch.x), patches)
    return masking.random_mask(
        shape,
        check_hides(ratio, patches, "patches"),
        views=views,
        seed=batch.seed,
        sample_ids=batch.sample_ids,
        device=batch.x.device,
    )
