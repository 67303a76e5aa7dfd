"""CLAN: augmented series are what normal ones are not."""

import torch
from torch import Tensor, nn

from tsssl_fast.losses import CLANLoss
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment, at_least, one_view
from tsssl_fast.methods.base import projector as head_of


class CLAN(Siamese):
    """All series of a batch attract, their augmented copies repel.

        z = projector(encoder(x));  z_aug = projector(encoder(view of x));  loss = CLAN(z, z_aug)

    Source: Contrastive Self-Supervised Network Intrusion Detection using Augmented Negative Pairs,
    2025: for training sets of normal series alone. `evaluate.novelty_scores` of its embeddings
    finds others. With several processes each contrasts its own rows.

    Args: as `Siamese`; views: the first is used.
    """

    takes_lengths = False

    @classmethod
    def recipe(cls, encoder: nn.Module, views: Views, temperature: float = 0.2) -> "CLAN":
        """A 256-128 projector."""
        return cls(encoder, head_of(encoder), views, CLANLoss(temperature=temperature))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        both = torch.cat([batch.x, one_view(self.views, batch)])
        z, z_aug = self.projector(self.encode(both)).chunk(2)
        return self.criterion(z, z_aug), {"alignment": alignment(z, z_aug)}
