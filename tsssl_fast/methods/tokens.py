"""What the masked methods share: an encoder of tokens, which patches are hidden, a momentum teacher
of the encoder, a light decoder."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.augment import validation
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.encoders.patch_transformer import positions
from tsssl_fast.masking import restore
from tsssl_fast.masking.masks import hidden_count
from tsssl_fast.methods.base import Batch, Method, Views, one_view
from tsssl_fast.methods.teacher import MomentumTeacher, Schedule


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


class OfTokens(Method):
    """An encoder of tokens, some of which are hidden; a subclass has the learned `token` that
    stands for them.

    Args:
        encoder: a PatchTransformer.
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden patches, in (0, 1).
    """

    encoder: PatchTransformer
    token: nn.Parameter
    min_batch = 1

    def __init__(self, encoder: nn.Module, views: Views | None, ratio: float) -> None:
        super().__init__()
        self.encoder = check_encoder(encoder)
        self.views = views
        self.ratio = check_ratio(ratio)

    def masked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(N, L, P) patches of one view, (N, L) bool which are hidden."""
        patches = self.encoder.patches(one_view(self.views, batch))
        return patches, hidden_patches(batch, patches.shape[1], self.ratio)[0]

    def filled(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """(N, L, width): features of all places, the token in the place of hidden patches."""
        return self.encode(self.encoder.embed(patches, hidden, self.token), self.encoder.blocks)


class Taught(OfTokens):
    """`OfTokens` with a momentum teacher of the encoder.

    Args: as `OfTokens`, and
        momentum: of the teacher, in [0, 1), or a schedule of `methods.teacher`.
    """

    def __init__(
        self, encoder: nn.Module, views: Views | None, ratio: float, momentum: float | Schedule
    ) -> None:
        super().__init__(encoder, views, ratio)
        self.teacher = MomentumTeacher(self.encoder, momentum)

    @torch.no_grad()
    def taught(self, patches: Tensor) -> Tensor:
        """(N, L, width): what the teacher makes of patches, of which it sees all."""
        teacher: Any = self.teacher.module
        return self.encode(teacher.embed(patches), teacher.blocks)

    def after_step(self) -> None:
        self.teacher.update(self.encoder)


class Decoding:
    """A light decoder over all places: `narrow`, `decoder` and `head` of the method that has it,
    and its `token` where nothing was seen."""

    narrow: nn.Module
    token: nn.Parameter
    decoder: nn.Module
    head: nn.Module

    def decoded(self, visible: Tensor, keep: Tensor, places: int) -> Tensor:
        """(N, K, width) features of the visible places (N, K) -> (N, places, P)."""
        return self.rebuilt(restore(self.narrow(visible), keep, places, self.token))

    def rebuilt(self, y: Tensor) -> Tensor:
        """(N, places, W) narrow features -> (N, places, P)."""
        found: Tensor = self.head(self.decoder(y + positions(y.shape[1], y)))
        return found
