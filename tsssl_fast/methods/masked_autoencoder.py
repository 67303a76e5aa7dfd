"""The masked autoencoder on time series."""

import torch
from torch import Tensor, nn

from tsssl_fast.encoders.patch_transformer import transformer
from tsssl_fast.masking import gather, keep_indices, masked_loss
from tsssl_fast.methods.base import Batch, Logs, Views
from tsssl_fast.methods.tokens import Decoding, OfTokens


class MaskedAutoencoder(Decoding, OfTokens):
    """Most patches of a series are dropped; from the others a light decoder rebuilds them.

        h = blocks(tokens of visible patches);  y = decoder([h, m, m, ...] in their places)
        loss = mean over hidden patches of (head(y) - patch)^2

    m is a learned token. Source: He et al., CVPR 2022 (75 % hidden, hidden tokens dropped).
    Deviations: patches of time in place of image patches; targets are not standardised per patch,
    because the level of a sensor means something.

    Args:
        encoder: a PatchTransformer.
        decoder: (N, L, W) -> (N, L, W).
        width: W.
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden patches, in (0, 1).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        width: int,
        views: Views | None = None,
        ratio: float = 0.75,
    ) -> None:
        super().__init__(encoder, views, ratio)
        tokens = self.encoder
        self.narrow = nn.Linear(tokens.width, width)
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.decoder = decoder
        self.head = nn.Linear(width, tokens.channels * tokens.patch)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.75
    ) -> "MaskedAutoencoder":
        """A decoder of one layer of width 64."""
        return cls(encoder, transformer(64, 1, 4), 64, views, ratio)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        return self.reconstruct(*self.masked(batch))[0], {}

    def reconstruct(self, patches: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the visible tokens' features (N, K, width of the encoder)."""
        keep = keep_indices(hidden)
        visible = self.encode(gather(self.encoder.embed(patches), keep), self.encoder.blocks)
        return self.error(visible, keep, patches, hidden), visible

    def error(self, visible: Tensor, keep: Tensor, patches: Tensor, hidden: Tensor) -> Tensor:
        """Of rebuilding hidden patches from the features of the visible ones, which `keep` has."""
        rebuilt = self.decoded(visible, keep, hidden.shape[1])
        return masked_loss(rebuilt, patches.detach(), hidden[..., None].expand_as(patches))
