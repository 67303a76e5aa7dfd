"""BEiT on time series."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.functional import clustering
from tsssl_fast.methods.base import Batch, Logs, Method, Views, one_view
from tsssl_fast.methods.tokens import check_encoder, check_ratio, hidden_patches


class BEiT(Method):
    """Some patches are hidden by a learned token; guess which word of a codebook each one was.

        c(patch) = the nearest of K k-means centres;  h = blocks(tokens with hidden ones replaced)
        loss = mean over hidden patches of cross_entropy(classifier(h), c(patch))

    Source: Bao et al., ICLR 2022, which hides 40 %. Deviation: the codebook is k-means over the
    patches of the first batch, and stays, in place of a discrete VAE trained before.

    Args:
        encoder: a PatchTransformer.
        codes: K.
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden patches, in (0, 1).
    """

    encoder: PatchTransformer
    min_batch = 1
    codebook: Tensor
    fitted: Tensor

    def __init__(
        self, encoder: nn.Module, codes: int, views: Views | None = None, ratio: float = 0.4
    ) -> None:
        super().__init__()
        self.encoder = tokens = check_encoder(encoder)
        self.ratio = check_ratio(ratio)
        self.views = views
        self.token = nn.Parameter(0.02 * torch.randn(tokens.width))
        self.classifier = nn.Linear(tokens.width, codes)
        self.register_buffer("codebook", torch.zeros(codes, tokens.channels * tokens.patch))
        self.register_buffer("fitted", torch.tensor(False))

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.4, codes: float = 64
    ) -> "BEiT":
        """The encoder with a codebook of `codes` words; `ratio` of the patches hidden."""
        return cls(encoder, int(codes), views, ratio)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches = self.encoder.patches(one_view(self.views, batch))
        codes = self.codes_of(patches)
        hidden = hidden_patches(batch, patches.shape[1], self.ratio)[0]
        h = self.encode(self.encoder.embed(patches, hidden, self.token), self.encoder.blocks)
        logits = self.classifier(h[hidden])
        accuracy = (logits.detach().argmax(1) == codes[hidden]).float().mean()
        return cross_entropy(logits, codes[hidden]), {"code_accuracy": accuracy}

    @torch.no_grad()
    def codes_of(self, patches: Tensor) -> Tensor:
        """(N, L, P) -> (N, L) int64; fits the codebook to the first patches that it sees."""
        flat = patches.flatten(0, 1)
        if not self.fitted:
            self.codebook.copy_(clustering.kmeans(flat, len(self.codebook)))
            self.fitted.fill_(True)
        return clustering.assign(flat, self.codebook).view(patches.shape[:2])
