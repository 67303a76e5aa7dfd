"""TS-TCC: the context of one view predicts the future of the other."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.common import checks
from tsssl_fast.encoders.patch_transformer import transformer
from tsssl_fast.functional import info_nce_loss
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Siamese,
    Views,
    alignment,
    mlp,
    out_features,
    stacked_views,
)


class Context(nn.Module):
    """A transformer's summary of the steps so far: (N, t, F) -> (N, width), where a token that it
    learns ends.

    Args:
        features: F. width, depth, heads: of the transformer.
    """

    def __init__(self, features: int, width: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.out_features = width
        self.embed = nn.Linear(features, width)
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = transformer(width, depth, heads)

    def forward(self, steps: Tensor) -> Tensor:
        token = self.token.expand(len(steps), 1, -1)
        h: Tensor = self.blocks(torch.cat([token, self.embed(steps)], dim=1))
        return h[:, 0]


class TSTCC(Siamese):
    """From the steps of a view up to t, the steps that follow in the other view; and the contexts
    of both views agree.

        z_v = encoder.features(view_v).steps, each of length 1;  c_v = context(z_v up to step t)
        temporal_v = mean over k = 1 ... K of InfoNCE(W_k c_v, z_other at t + k), dot products
        loss = temporal_1 + temporal_2 + weight NTXent(projector(c_1), projector(c_2))

    The other series of the batch are the negatives of both; t is drawn once per batch. Source:
    Time-Series Representation Learning via Temporal and Contextual Contrasting, 2021, equations (1)
    to (5), with steps of length 1 as in its code. Its weak and strong views are
    `augment.presets.ts_tcc()`.

    Args: as `Siamese` without loss, but
        encoder: a `TimeEncoder`: `features(x, lengths).steps` (N, L, F).
        projector: (N, W) -> (N, D), of contexts.
        context: (N, t, F) -> (N, W).
        steps: K >= 1; as many as the shortest series of a batch has behind its first, if fewer.
        features: F. width: W.
        weight: of the contrast of contexts, >= 0. temperature: of it, > 0.

    Raises ValueError naming the argument; for a batch of one, or one step of the encoder.
    """

    encoder: Any

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        context: nn.Module,
        steps: int,
        features: int,
        width: int,
        weight: float = 0.7,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(encoder, projector, views, NTXentLoss(temperature=temperature))
        checks.at_least("steps", steps, 1)
        self.weight = checks.non_negative("weight", weight)
        self.context = context
        self.predictors = nn.ModuleList(nn.Linear(width, features) for _ in range(steps))

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        steps: float = 4,
        weight: float = 0.7,
        temperature: float = 0.2,
    ) -> "TSTCC":
        """A transformer of two layers, a 64-128 projector."""
        features = out_features(encoder) // 2
        context = Context(features)
        heads = mlp(context.out_features, 64, 128), views, context
        sizes = int(steps), features, context.out_features
        return cls(encoder, *heads, *sizes, weight, temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = stacked_views(self.views, batch)
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        z = normalize(self.encode(x, self._steps, lengths), dim=2)
        count = z.shape[1]
        if lengths is not None:
            count = (int(lengths.min()) - 1) // self.encoder.stride + 1
        if count < 2:
            raise ValueError(
                f"batch.x: a series of {count} step of the encoder, whose stride is "
                f"{self.encoder.stride}; accepted: 2 or more (causal makes one of each)"
            )
        ahead = min(len(self.predictors), count - 1)
        source = torch.Generator().manual_seed(batch.seed)
        t = int(torch.randint(count - ahead, (), generator=source))
        c = self.context(z[:, : t + 1])
        temporal = z.new_zeros(())
        for k, predictor in enumerate(list(self.predictors)[:ahead], 1):
            guesses, future = predictor(c).chunk(2), z[:, t + k].chunk(2)
            for guess, other in zip(guesses, reversed(future), strict=True):
                temporal = temporal + self._contrast(guess, other) / ahead
        views = self.projector(c).chunk(2)
        contextual = self.criterion(*views)
        logs = {"temporal": temporal.detach(), "contextual": contextual.detach()}
        return temporal + self.weight * contextual, {"alignment": alignment(*views), **logs}

    def _contrast(self, guess: Tensor, future: Tensor) -> Tensor:
        return info_nce_loss(
            *(guess, future),
            temperature=1.0,
            normalize=False,
            precision=self.precision,
            process_group=self.process_group,
            ddp=self.ddp,
        )

    def _steps(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        steps: Tensor = self.encoder.features(x, lengths).steps
        return steps
