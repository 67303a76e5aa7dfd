"""SimCLR that tells a series only from those of its own cluster."""

import torch
from torch import Tensor, nn

from tsssl_fast.functional import contrastive_loss
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment
from tsssl_fast.methods.base import projector as head_of


class WithinClusters(Siamese):
    """Views of one series attract, other series of its cluster repel; others do not count:

        loss_i = -log( e^{a_ii'} / (e^{a_ii'} + sum over j of the cluster of i of e^{a_ij}) )

    A stage of Learning the Unlearned: Mitigating Feature Suppression in Contrastive Learning, 2024
    (MCL): what earlier stages tell apart is of no use here. `training.fit_stages` trains all.

    Args: as `Siamese` without loss, and
        clusters: (series,) int64, of every series by its position in the data set.
        temperature: tau > 0.
    """

    clusters: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        clusters: Tensor,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(encoder, projector, views, None)
        if clusters.dim() != 1 or clusters.dtype != torch.int64:
            raise ValueError(
                f"clusters: {clusters.dtype} {tuple(clusters.shape)}; accepted: int64 (series,)"
            )
        self.register_buffer("clusters", clusters)
        self.temperature = temperature

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, clusters: Tensor, temperature: float = 0.2
    ) -> "WithinClusters":
        """A 256-128 projector."""
        return cls(encoder, head_of(encoder), views, clusters, temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z = self.embed(batch)
        loss = contrastive_loss(
            z,
            q_ids=batch.sample_ids.repeat(2),
            q_groups=self.clusters[batch.sample_ids].repeat(2),
            groups="only_same",
            temperature=self.temperature,
            precision=self.precision,
        )
        return loss, {"alignment": alignment(*z.chunk(2))}
