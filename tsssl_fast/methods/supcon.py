"""Supervised contrastive learning on time series."""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.losses import SupConLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, mlp, two_views


class SupCon(Method):
    """All views of all series of a class attract each other; everything else of the batch repels.

        z = projector(encoder([view_1; view_2]));  P(i) = other rows with i's label
        loss = mean_i mean_{p in P(i)} -log( exp(<z_i, z_p> / tau) / sum_{k != i} exp(<z_i, z_k> /
        tau) )

    Source: Khosla et al., NeurIPS 2020, its L_out.

    Args:
        encoder: (N, C, T) -> (N, F).
        projector: (N, F) -> (N, D).
        views: x, seed, sample_ids -> (2, N, C, T).
        loss: (2N, D), (2N,) labels -> scalar.
    """

    needs_labels = True

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, views: Views, loss: nn.Module
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.views = views
        self.criterion = loss

    @classmethod
    def recipe(cls, encoder: nn.Module, views: Views, temperature: float = 0.2) -> "SupCon":
        """A 256-128 projector around an encoder that has `out_features`."""
        features: Any = encoder.out_features
        return cls(encoder, mlp(features, 256, 128), views, SupConLoss(temperature=temperature))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        if batch.labels is None:
            raise ValueError("batch.labels: None; SupCon needs labels")
        z = self.projector(self.encode(two_views(self.views, batch)))
        return self.criterion(z, batch.labels.repeat(2)), {"alignment": alignment(*z.chunk(2))}
