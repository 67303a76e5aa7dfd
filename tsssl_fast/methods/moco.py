"""MoCo on time series."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks, collectives
from tsssl_fast.functional import contrastive_loss
from tsssl_fast.losses import FeatureQueue
from tsssl_fast.methods.base import Batch, Logs, Views, alignment, projector, stacked_views
from tsssl_fast.methods.teacher import MomentumViews, Schedule


class MoCo(MomentumViews):
    """MoCo v2: a view against the other view's momentum embedding and a queue of past ones.

        q = projector(encoder(view_1));  k = momentum_projector(momentum_encoder(view_2))
        loss_i = -log( exp(<q_i, k_i> / tau) / sum_j exp(<q_i, k_j> / tau) )
        after each step: momentum weights <- m momentum weights + (1 - m) weights

    Source: He et al., CVPR 2020; Chen et al., arXiv 2003.04297 (v2), 2020. Deviations: j runs over
    the batch and the queue, but not over earlier keys of series i, which a data set smaller than
    the queue would have as negatives of themselves; no shuffled batch statistics, both networks
    normalise by their own batch. Of several processes the queue takes all keys. The logged loss may
    rise while the queue fills and the teacher settles: older keys are easier to tell apart.

    Views after the second are further positive keys: the loss is the mean over them, none of which
    is in the sum of another.

    Args: as `SeveralViews` without loss, but
        queue: of columns D.
        temperature: tau > 0.
        momentum: m in [0, 1), or a schedule of `methods.teacher`.
    """

    queue_ids: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        queue: FeatureQueue,
        temperature: float,
        momentum: float | Schedule,
        n_views: int = 2,
    ) -> None:
        super().__init__(encoder, projector, views, momentum, n_views)
        self.queue = queue
        self.register_buffer("queue_ids", torch.full((len(queue.features),), -1))
        self.temperature = checks.positive("temperature", temperature)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        temperature: float = 0.2,
        momentum: float = 0.95,
        queue: int = 1024,
        n_views: int = 2,
    ) -> "MoCo":
        """A 256-128 projector, a short queue and a fast teacher, as suit small data sets.

        The paper's momentum of 0.999 would leave the teacher near its start in a run of a few
        hundred steps.
        """
        memory = FeatureQueue(128, queue)
        return cls(encoder, projector(encoder), views, memory, temperature, momentum, n_views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        n, positives = len(batch.x), self.n_views - 1
        x = stacked_views(self.views, batch, self.n_views)
        lengths = None if batch.lengths is None else batch.lengths.repeat(positives)
        q = self.projector(self.encode(x[:n], lengths=batch.lengths))
        k = self.keys(x[n:], lengths)
        parts, key_ids, here, group = [k], batch.sample_ids.repeat(positives), 0, None
        together = self.process_group is not None
        if together:
            group = collectives.group_of(self.process_group)
            parts, here = list(collectives.gather_parts(k, group)), collectives.rank(group)
            key_ids = collectives.gather_rows(key_ids, group)
        keys = torch.cat(parts)
        # Positions of the series among those of all processes; every key has that of its series.
        queries = torch.arange(len(keys) // positives, device=q.device)
        series = queries.split([len(part) // positives for part in parts])
        rows = torch.cat([part.repeat(positives) for part in series])
        valid = torch.cat([torch.ones_like(rows, dtype=torch.bool), self.queue.valid()])
        loss = contrastive_loss(
            q,
            torch.cat([keys, self.queue.features.to(k.dtype)]),
            temperature=self.temperature,
            q_ids=series[here],
            k_ids=torch.cat([rows, torch.full_like(self.queue_ids, -1)]),
            q_groups=batch.sample_ids,
            k_groups=torch.cat([key_ids, self.queue_ids]),
            groups="exclude_same",
            denominator="all" if positives == 1 else "own_positive",
            k_valid=valid,
            reduction="sum" if together else "mean",
            precision=self.precision,
        )
        if together:
            loss = collectives.total_of_shares(loss / len(queries), group, ddp=self.ddp)
        if self.training:
            self._enqueue(keys, key_ids)
        return loss, {"alignment": alignment(q.repeat(positives, 1), k)}

    def _enqueue(self, k: Tensor, ids: Tensor) -> None:
        size = len(self.queue_ids)
        slots = (self.queue.position + torch.arange(len(k), device=k.device)) % size
        self.queue_ids[slots[-size:]] = ids[-size:]
        self.queue.push(k)
