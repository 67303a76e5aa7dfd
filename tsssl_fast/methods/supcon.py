"""Supervised contrastive learning on time series."""

from torch import Tensor, nn

from tsssl_fast.losses import SupConLoss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    SeveralViews,
    Views,
    alignment,
    labels_of,
    projector,
)


class SupCon(SeveralViews):
    """All views of all series of a class attract each other; everything else of the batch repels.

        z = projector(encoder([view_1; view_2]));  P(i) = other rows with i's label
        loss = mean_i mean_{p in P(i)} -log( exp(<z_i, z_p> / tau) / sum_{k != i} exp(<z_i, z_k> /
        tau) )

    Source: Khosla et al., NeurIPS 2020, its L_out.

    Args: as `SeveralViews`, but
        loss: (V N, D), (V N,) labels -> scalar.
    """

    needs_labels = True

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, temperature: float = 0.2, n_views: int = 2
    ) -> "SupCon":
        """A 256-128 projector around an encoder that has `out_features`."""
        loss = SupConLoss(temperature=temperature)
        return cls(encoder, projector(encoder), views, loss, n_views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels = labels_of(batch, "SupCon needs").repeat(self.n_views)
        z = self.embed(batch)
        return self.criterion(z, labels), {"alignment": alignment(*z.chunk(self.n_views))}
