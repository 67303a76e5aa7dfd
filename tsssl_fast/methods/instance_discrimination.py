"""Every series is a class of its own: by a memory of embeddings, or by a classifier."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from tsssl_fast.common import checks
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Method,
    Views,
    at_least,
    one_view,
    out_features,
    projector,
)


def check_ids(batch: Batch, series: int) -> Tensor:
    """The rows' positions in the data set. Raises ValueError for one that no place is kept for."""
    ids = batch.sample_ids
    if int(ids.max()) >= series:
        raise ValueError(
            f"batch.sample_ids: {int(ids.max())}; accepted: below the {series} series that this "
            "method keeps places for (--option series=NUMBER)"
        )
    return ids


class InstanceDiscrimination(Method):
    """A series is told from all others by a memory of their embeddings.

        z = projector(encoder(view)), of length 1
        loss = -log( exp(<z_i, m_i> / tau) / sum over the series j seen of exp(<z_i, m_j> / tau) )
        after the loss: m_i <- momentum m_i + (1 - momentum) z_i, scaled to length 1

    Source: Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018
    (InstDisc). Deviations: the sum over all series in the place of an estimate from drawn ones; a
    series that comes for the first time has its own embedding as memory. Of several processes each
    has its own memory of its rows.

    Args:
        encoder: (N, C, T) -> (N, F). projector: (N, F) -> (N, D).
        views: augmentation, of which the first view is used, or None.
        series: places of the memory, at least the number of series. dim: D.
        temperature: tau > 0. momentum: in [0, 1).
    """

    min_batch = 2  # the projector has batch statistics
    takes_lengths = True
    memory: Tensor
    seen: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views | None,
        series: int,
        dim: int,
        temperature: float = 0.1,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        checks.at_least("series", series, 1)
        checks.fraction("momentum", momentum)
        self.encoder, self.projector, self.views = encoder, projector, views
        self.temperature = checks.positive("temperature", temperature)
        self.momentum = momentum
        self.register_buffer("memory", torch.zeros(series, dim))
        self.register_buffer("seen", torch.zeros(series, dtype=torch.bool))

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        series: float = 8192,
        temperature: float = 0.1,
        momentum: float = 0.5,
    ) -> "InstanceDiscrimination":
        """A 256-128 projector."""
        return cls(encoder, projector(encoder), views, int(series), 128, temperature, momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(self.min_batch, batch)
        ids = check_ids(batch, len(self.memory))
        h = self.encode(one_view(self.views, batch), lengths=batch.lengths)
        z = normalize(self.projector(h), dim=1)
        before, new = self.memory[ids].to(z.dtype), ~self.seen[ids, None]
        own = torch.where(new, z.detach(), before)
        seen = self.seen.index_fill(0, ids, True)
        places = self.memory.to(z.dtype).index_copy(0, ids, own)[seen]
        logits = z @ places.T / self.temperature
        target = seen.cumsum(0)[ids] - 1
        if self.training:
            moved = normalize(torch.lerp(z.detach(), own, self.momentum), dim=1)
            self.memory.index_copy_(0, ids, moved.to(self.memory.dtype))
            self.seen.copy_(seen)
        accuracy = (logits.detach().argmax(1) == target).float().mean()
        return cross_entropy(logits, target), {"instance_accuracy": accuracy}


class Exemplar(Method):
    """The series of a data set are the classes of a classifier; their views are its samples.

        loss = cross_entropy(classifier(encoder(view)), the series' position in the data set)

    Source: Discriminative Unsupervised Feature Learning with Exemplar Convolutional Neural
    Networks, 2014. Deviation: every series is a class, where patches of images are drawn.

    Args:
        encoder: (N, C, T) -> (N, F).
        classifier: (N, F) -> (N, series) logits.
        views: augmentation, of which the first view is used, or None.
        series: classes, at least the number of series.
    """

    min_batch = 1
    takes_lengths = True

    def __init__(
        self, encoder: nn.Module, classifier: nn.Module, views: Views | None, series: int
    ) -> None:
        super().__init__()
        checks.at_least("series", series, 1)
        self.encoder, self.classifier, self.views = encoder, classifier, views
        self.series = series

    @classmethod
    def recipe(cls, encoder: nn.Module, views: Views | None, series: float = 1024) -> "Exemplar":
        """A linear classifier."""
        classifier = nn.Linear(out_features(encoder), int(series))
        return cls(encoder, classifier, views, int(series))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        ids = check_ids(batch, self.series)
        logits = self.classifier(self.encode(one_view(self.views, batch), lengths=batch.lengths))
        accuracy = (logits.detach().argmax(1) == ids).float().mean()
        return cross_entropy(logits, ids), {"instance_accuracy": accuracy}
