"""SimMTM: masked series rebuilt from what is similar to them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsssl_fast import masking
from tsssl_fast.common import checks
from tsssl_fast.encoders.features import mean_max
from tsssl_fast.functional import similarity_aggregate
from tsssl_fast.losses import SupConLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view, projector
from tsssl_fast.methods.masked_reconstruction import Steps
from tsssl_fast.methods.tokens import check_hides, check_ratio


class SimMTM(Method):
    """A series and V masked copies: each is rebuilt from the features of all others of the batch,
    by the similarity of their embeddings; copies of one series attract.

        h = feature_map(x~);  z = projector([mean, maximum] of h over time)
        loss = mean of (head(similarity_aggregate(z, h)) - x)^2 over all steps, hidden or not
               + weight SupCon(z, series)

    Source: SimMTM: A Simple Pre-Training Framework for Masked Time-Series Modeling, 2023. The
    similarity-weighted reconstruction of Learning More with Less: A Generalizable, Self-Supervised
    Framework for Privacy-Preserving Capacity Estimation with EV Charging Data, 2025, is weight = 0.
    Deviation: one weight in the place of learned ones.

    Args:
        encoder: with `feature_map`: (N, C, T) -> (N, F, 1, L).
        projector: (N, features of the encoder) -> (N, D).
        head: (N, F, L) -> (N, C, L'), interpolated to T.
        views: augmentation before masking, of which the first view is used, or None.
        copies: V >= 1 masked copies. ratio, size: of the geometric masks.
        temperature: of the similarities. weight: of the contrast, >= 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        head: nn.Module,
        views: Views | None = None,
        copies: int = 3,
        ratio: float = 0.5,
        size: int = 3,
        temperature: float = 0.1,
        weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.head = head
        self.views = views
        checks.at_least("copies", copies, 1)
        self.copies = copies
        self.ratio = check_ratio(ratio)
        self.size = size
        self.temperature = checks.positive("temperature", temperature)
        self.weight = checks.non_negative("weight", weight)
        self.criterion = SupConLoss(temperature=temperature)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        copies: int = 3,
        ratio: float = 0.5,
        temperature: float = 0.1,
        weight: float = 0.1,
    ) -> "SimMTM":
        """A 256-128 projector and the linear head of `MaskedReconstruction`."""
        heads = projector(encoder), Steps.of(encoder), views
        return cls(encoder, *heads, int(copies), ratio, 3, temperature, weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x = one_view(self.views, batch)
        hidden = masking.random_mask(
            x.shape,
            check_hides(self.ratio, x.shape[2], "geometric"),
            mode="geometric",
            size=self.size,
            per_channel=True,
            views=self.copies,
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=x.device,
        )
        masked = masking.fill(x.repeat(self.copies, 1, 1), hidden.flatten(0, 1))
        encoder: Any = self.encoder
        h = self.encode(torch.cat([x, masked]), encoder.feature_map)
        z = self.projector(mean_max(h, None))
        mixed = similarity_aggregate(z, h, temperature=self.temperature)
        rebuilt = interpolate(self.head(mixed.squeeze(2)), x.shape[-1], mode="linear")
        target = x.detach().repeat(self.copies + 1, 1, 1)
        reconstruction = (rebuilt - target).square().mean()
        series = torch.arange(len(x), device=x.device).repeat(self.copies + 1)
        loss = reconstruction + self.weight * self.criterion(z, series)
        return loss, {"reconstruction": reconstruction.detach()}
