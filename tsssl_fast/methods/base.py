"""The small interface of every method: `loss(batch) -> (loss, logs)`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

Logs = dict[str, Tensor]


class Batch(NamedTuple):
    """What a method sees of one step.

    x: (N, C, T) float series; sample_ids: (N,) int64, the rows' positions in the data set;
    seed: of this step's augmentation, so that views are a function of (seed, sample id) alone;
    labels: (N,) int64 for methods that learn from labels;
    other: a second modality of the same rows, whatever its encoder takes.
    """

    x: Tensor
    sample_ids: Tensor
    seed: int
    labels: Tensor | None = None
    other: Any = None


class Views(Protocol):
    """Anything that augments a batch (N, C, T), as every module of `tsssl_fast.augment` does.

    views=V gives (V, N, C, T). None gives one view, (N, C, T), or as many as it always has. The
    result must depend on x, views, seed and sample_ids alone for training to be reproducible.
    """

    def __call__(
        self, x: Tensor, views: int | None = None, *, seed: int, sample_ids: Tensor
    ) -> Tensor: ...


class Method(nn.Module, ABC):
    """A training objective around an encoder; a plain module that trains in anybody's loop.

        loss, logs = method.loss(batch)
        loss.backward(); optimizer.step(); method.after_step()

    `encoder` is what remains after pre-training. `forward` is `loss`, because wrappers (Fabric,
    DDP) hook into `forward`.
    """

    encoder: nn.Module
    min_batch = 2  # a batch of one has no negatives, no variance and no batch statistics
    needs_labels = False
    bf16 = False

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """The scalar loss of a batch with its graph, and detached scalars worth logging."""

    def forward(self, batch: Batch) -> tuple[Tensor, Logs]:
        return self.loss(batch)

    def encode(self, x: Any, encoder: Callable[[Any], Tensor] | None = None) -> Tensor:
        """Features of `encoder` (or a part of one), else of `self.encoder`, in x's dtype; in
        float32 for other input than series, such as text.

        With `bf16` the encoder alone runs under bfloat16 autocast: it is 80 to 95 % of a step, the
        projector and the loss 4 %, and a covariance needs the digits.
        """
        series = isinstance(x, Tensor) and x.is_floating_point()
        device = x.device if series else next(self.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            h: Tensor = (self.encoder if encoder is None else encoder)(x)
        return h.to(x.dtype if series else torch.float32)

    def after_step(self) -> None:
        """Called after each optimizer step; momentum encoders and queues update here."""


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A projector with one hidden layer: linear, BN, relu, linear."""
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def at_least(rows: int, batch: Batch) -> None:
    """Raises ValueError for a batch that has less."""
    if len(batch.x) < rows:
        raise ValueError(f"batch.x: {len(batch.x)} series; accepted: {rows} or more")


def one_view(views: Views | None, batch: Batch) -> Tensor:
    """(N, C, T): the first views, or the series as they are."""
    if views is None:
        return batch.x
    v = views(batch.x, seed=batch.seed, sample_ids=batch.sample_ids)
    return v[0] if v.dim() == 4 else v


def two_views(views: Views, batch: Batch) -> Tensor:
    """(2N, C, T): the first views of all series, then the second views.

    Raises ValueError for a batch of one, which has no negatives and no variance.
    """
    at_least(2, batch)
    v = views(batch.x, views=2, seed=batch.seed, sample_ids=batch.sample_ids)
    if v.dim() != 4 or v.shape[:2] != (2, len(batch.x)):
        raise ValueError(
            f"views: returned shape {tuple(v.shape)}; accepted: (2, {len(batch.x)}, C, T)"
        )
    return v.flatten(0, 1)


def alignment(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean cosine of the positive pairs, detached: 1 when both views of a series coincide."""
    with torch.no_grad():
        return torch.cosine_similarity(z1.float(), z2.float()).mean()
