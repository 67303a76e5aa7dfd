"""CLIP on time series and a second modality."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.encoders import HashedNgrams
from tsssl_fast.functional import clip_loss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Method,
    Views,
    alignment,
    at_least,
    labels_of,
    one_view,
    projector,
)

MAX_SCALE = 100.0
Pair = Callable[[Tensor, Batch], tuple[Tensor, Any]]


def other_given(x: Tensor, batch: Batch) -> tuple[Tensor, Any]:
    """The second modality comes with the batch."""
    if batch.other is None:
        raise ValueError("batch.other: None; CLIP needs a second modality")
    return x, batch.other


def label_text(texts: Sequence[str]) -> Pair:
    """The second modality is a text for every class, which the other encoder takes as a list."""

    def pair(x: Tensor, batch: Batch) -> tuple[Tensor, Any]:
        return x, [texts[label] for label in labels_of(batch, "label texts need").tolist()]

    return pair


def two_sensors(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The first half of the channels and the second, the rest 0: two sensors on one body."""
    if x.shape[1] < 2:
        raise ValueError(f"batch.x: {x.shape[1]} channel; accepted: 2 or more, as two sensors")
    first = torch.arange(x.shape[1], device=x.device)[:, None] < x.shape[1] // 2
    return torch.where(first, x, 0.0), torch.where(first, 0.0, x)


class RowText:
    """The second modality is a text for every series, by its position in the data set; an empty one
    is missing."""

    def __init__(self, texts: Sequence[str]) -> None:
        if isinstance(texts, (str, int, float)) or not all(isinstance(t, str) for t in texts):
            raise TypeError(f"texts: {type(texts).__name__}; accepted: a sequence of str")
        if sum(map(bool, texts)) < 2:
            raise ValueError("texts: fewer than two that are not empty; accepted: two or more")
        self.texts = tuple(texts)

    def __call__(self, x: Tensor, batch: Batch) -> tuple[Tensor, list[str]]:
        most = int(batch.sample_ids.max())
        if most >= len(self.texts):
            raise ValueError(
                f"texts: {len(self.texts)}; accepted: one for each series ({most + 1})"
            )
        return x, [self.texts[row] for row in batch.sample_ids.tolist()]


def present(other: Any) -> list[int]:
    """The rows whose second modality is there: a text that is not empty, values that are not all
    NaN."""
    if isinstance(other, Tensor):
        if not other.is_floating_point():
            return list(range(len(other)))
        return (~other.isnan().flatten(1).all(1)).nonzero()[:, 0].tolist()
    return [row for row, value in enumerate(other) if value is not None and value != ""]


class CLIP(Method):
    """A series and what came with it agree; all other pairs of the batch do not.

        q = projector(encoder(x));  k = other_projector(other_encoder(other))
        loss = (InfoNCE(q, k) + InfoNCE(k, q)) / 2 with logits s <q, k> of unit vectors; s learned

    Source: Radford et al., ICML 2021 (scale s starts at 1 / 0.07 and stays below 100). Deviation:
    any second modality and encoder, such as another sensor, or text. A row whose second modality is
    missing (`present`) takes no part: the loss is that of the batch without it.

    Args:
        encoder: (N, C, T) -> (N, F).
        other_encoder: what `pair` gives -> (N, G), such as a model of text.
        projector, other_projector: (N, F) -> (N, D) and (N, G) -> (N, D).
        views: augmentation of the series, of which the first view is used, or None.
        pair: (series, batch) -> what the two encoders see; see `other_given`, `label_text`,
            `RowText` and `two_sensors`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        other_encoder: nn.Module,
        projector: nn.Module,
        other_projector: nn.Module,
        views: Views | None = None,
        pair: Pair = other_given,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.other_encoder = other_encoder
        self.projector = projector
        self.other_projector = other_projector
        self.views = views
        self.pair = pair
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, texts: Sequence[str] | None = None
    ) -> "CLIP":
        """Two sensors: half of the channels each, a copy of the encoder for the second half. With
        texts, one for each series: `encoders.HashedNgrams` of them."""
        if texts is not None:
            words = HashedNgrams()
            heads = (projector(encoder), projector(words))
            return cls(encoder, words, *heads, views, RowText(texts))
        projectors = (projector(encoder), projector(encoder))
        return cls(encoder, copy.deepcopy(encoder), *projectors, views, two_sensors)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x, other = self.pair(one_view(self.views, batch), batch)
        rows = present(other)
        if len(rows) < len(x):
            if len(rows) < 2:  # nothing to compare with
                return 0.0 * self.log_scale, {"scale": self.log_scale.detach().exp()}
            x = x[rows]
            other = other[rows] if isinstance(other, Tensor) else [other[row] for row in rows]
        q = self.projector(self.encode(x))
        k = self.other_projector(self.encode(other, self.other_encoder))
        loss = clip_loss(
            q,
            k,
            temperature=(-self.log_scale).exp(),
            precision=self.precision,
            process_group=self.process_group,
            ddp=self.ddp,
        )
        return loss, {"alignment": alignment(q, k), "scale": self.log_scale.detach().exp()}

    @torch.no_grad()
    def classify(self, x: Tensor, prompts: Any) -> Tensor:
        """Zero-shot: (N, K) probabilities of K prompts, which the other encoder takes, for series
        (N, C, T): softmax of s <q, k>. The modules are used as they stand (`eval()` first)."""
        q = torch.nn.functional.normalize(self.projector(self.encode(x)), dim=1)
        k = self.other_projector(self.encode(prompts, self.other_encoder))
        k = torch.nn.functional.normalize(k, dim=1)
        return (self.log_scale.exp() * q @ k.T.to(q.dtype)).softmax(1)

    @torch.no_grad()
    def after_step(self) -> None:
        """The parameter itself is held back, as published: its gradient never dies."""
        self.log_scale.clamp_(max=math.log(MAX_SCALE))
