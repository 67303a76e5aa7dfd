"""The small interface of every method: `loss(batch) -> (loss, logs)`."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.losses.base import AcrossProcesses, LossModule

Logs = dict[str, Tensor]


class Batch(NamedTuple):
    """What a method sees of one step.

    x: (N, C, T) float series; sample_ids: (N,) int64, the rows' positions in the data set;
    seed: of this step's augmentation, so that views are a function of (seed, sample id) alone;
    labels: (N,) int64 for methods that learn from labels;
    other: a second modality of the same rows, whatever its encoder takes;
    lengths: (N,) int64, the steps of each series that are no padding; None: all T.
    """

    x: Tensor
    sample_ids: Tensor
    seed: int
    labels: Tensor | None = None
    other: Any = None
    lengths: Tensor | None = None


class Views(Protocol):
    """Anything that augments a batch (N, C, T), as every module of `tsssl_fast.augment` does.

    x: (N, C, T), floating. views=V gives (V, N, C, T), in the dtype of x. None gives
    one view, (N, C, T), or as many as it always has. The result must depend on x, views, seed and
    sample_ids alone for training to be reproducible. With series of unequal length it is also
    called with `lengths`, from where on it changes nothing.
    """

    def __call__(
        self, x: Tensor, views: int | None = None, *, seed: int, sample_ids: Tensor
    ) -> Tensor: ...


class Method(nn.Module, AcrossProcesses, ABC):
    """A training objective around an encoder; a plain module that trains in anybody's loop.

        loss, logs = method.loss(batch)
        loss.backward(); optimizer.step(); method.after_step()

    `encoder` is what remains after pre-training. `forward` is `loss`, because wrappers (Fabric,
    DDP) hook into `forward`. Of several processes each has its rows of a batch, and its own
    negatives and statistics; inside `across` they have them together.
    """

    encoder: nn.Module
    min_batch = 2  # a batch of one has no negatives, no variance and no batch statistics
    needs_labels = False  # of every row
    uses_labels = False  # of rows that have one, beside others
    takes_lengths = False
    bf16 = False
    precision: str | None = None

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        """The scalar loss of a batch with its graph, and detached scalars worth logging.

        Floating 0-d tensors, of float32 series in float32. Raises TypeError, ValueError where the
        batch does not fit the method.
        """

    def forward(self, batch: Batch) -> tuple[Tensor, Logs]:
        """The same as `loss`."""
        return self.loss(batch)

    def encode(
        self, x: Any, encoder: Callable[..., Tensor] | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Features of `encoder` (or a part of one), else of `self.encoder`, in x's dtype; in
        float32 for other input than series, such as text.

        x: (N, C, T), or what the encoder takes; lengths: (N,) int64, steps of x that are no
        padding, handed on where given.

        With `bf16` the encoder alone runs under bfloat16 autocast: it is 80 to 95 % of a step, the
        projector and the loss 4 %, and a covariance needs the digits.
        """
        series = isinstance(x, Tensor) and x.is_floating_point()
        device = x.device if series else next(self.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            given = (x,) if lengths is None else (x, lengths)
            h: Tensor = (self.encoder if encoder is None else encoder)(*given)
        return h.to(x.dtype if series else torch.float32)

    def allow(self, precision: str | None) -> None:
        """`precision` of the losses in it, as their functions take it."""
        for module in self.modules():
            if isinstance(module, (Method, LossModule)):
                module.precision = precision

    @contextmanager
    def across(self, process_group: Group) -> Iterator[None]:
        """Inside, losses are of the rows of all processes of a group ("world": all), scaled for
        DistributedDataParallel; those that have a group keep it."""
        found = [m for m in self.modules() if isinstance(m, AcrossProcesses)]
        taking = [m for m in found if m.process_group is None]
        try:
            for module in taking:
                module.process_group = process_group
            yield
        finally:
            for module in taking:
                module.process_group = None

    def after_step(self) -> None:
        """Called after each optimizer step; momentum encoders and queues update here."""


class Siamese(Method):
    """One encoder and one projector for the views of each series, and a loss of the embeddings.

        z_i = projector(encoder(view_i));  loss = criterion(z_1, z_2)

    A subclass is its formula, and `loss` where it is not the line above.

    Args:
        encoder: (N, C, T) -> (N, F).
        projector: (N, F) -> (N, D).
        views: x, seed, sample_ids -> (2, N, C, T).
        loss: (N, D), (N, D) -> scalar; the subclass says where it takes something else, or none.
    """

    takes_lengths = True
    n_views = 2

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        loss: nn.Module | None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.views = views
        self.criterion: Any = loss

    def embed(self, batch: Batch) -> Tensor:
        """(V N, D): the embeddings of the first views, then of the second, and so on.

        In the dtype that the projector gives. Raises ValueError for a batch of one, or where the
        views do not have the shape (V, N, C, T).
        """
        lengths = None if batch.lengths is None else batch.lengths.repeat(self.n_views)
        x = stacked_views(self.views, batch, self.n_views)
        z: Tensor = self.projector(self.encode(x, lengths=lengths))
        return z

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z = self.embed(batch).chunk(self.n_views)
        return self.criterion(*z), {"alignment": alignment(*z)}


class SeveralViews(Siamese):
    """`Siamese` with two views of each series, or more.

    Args: as `Siamese`, but
        views: -> (V, N, C, T).
        loss: V times (N, D) -> scalar.
        n_views: V >= 2.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        loss: nn.Module | None,
        n_views: int = 2,
    ) -> None:
        checks.at_least("n_views", n_views, 2)
        super().__init__(encoder, projector, views, loss)
        self.n_views = n_views


def out_features(encoder: nn.Module) -> int:
    """F of an encoder (N, C, T) -> (N, F)."""
    features: Any = encoder.out_features
    return int(features)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer: linear, BN, relu, linear."""
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def projector(encoder: nn.Module, hidden: int = 256, outputs: int = 128) -> nn.Sequential:
    """The usual head of a recipe: `mlp` on the features of an encoder."""
    return mlp(out_features(encoder), hidden, outputs)


def labels_of(batch: Batch, needs: str) -> Tensor:
    """The labels of a batch. Raises ValueError where there are none, saying what needs them."""
    if batch.labels is None:
        raise ValueError(f"batch.labels: None; {needs} labels")
    return batch.labels


def at_least(rows: int, batch: Batch) -> None:
    """Raises ValueError for a batch that has less."""
    if len(batch.x) < rows:
        raise ValueError(f"batch.x: {len(batch.x)} series; accepted: {rows} or more")


def one_view(views: Views | None, batch: Batch) -> Tensor:
    """(N, C, T): the first views, or the series as they are."""
    if views is None:
        return batch.x
    v = views(batch.x, seed=batch.seed, sample_ids=batch.sample_ids, **lengths_of(batch))
    return v[0] if v.dim() == 4 else v


def stacked_views(views: Views, batch: Batch, count: int = 2) -> Tensor:
    """(count N, C, T): the first views of all series, then the second views, and so on.

    Raises ValueError for a batch of one, which has no negatives and no variance.
    """
    at_least(2, batch)
    given = {"seed": batch.seed, "sample_ids": batch.sample_ids, **lengths_of(batch)}
    v = views(batch.x, views=count, **given)
    if v.dim() != 4 or v.shape[:2] != (count, len(batch.x)):
        raise ValueError(
            f"views: returned shape {tuple(v.shape)}; accepted: ({count}, {len(batch.x)}, C, T)"
        )
    return v.flatten(0, 1)


def lengths_of(batch: Batch) -> dict[str, Any]:
    """Views of one's own need not know lengths where all series are equally long."""
    return {} if batch.lengths is None else {"lengths": batch.lengths}


def alignment(*views: Tensor) -> Tensor:
    """Mean cosine of the positive pairs, detached: 1 when all views of a series coincide."""
    with torch.no_grad():
        pairs = itertools.combinations([z.float() for z in views], 2)
        return torch.stack([torch.cosine_similarity(*pair).mean() for pair in pairs]).mean()
