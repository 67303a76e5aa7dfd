"""BEiT and BEiT v2 on time series."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from tsssl_fast.common import checks
from tsssl_fast.functional import clustering
from tsssl_fast.methods.base import Batch, Logs, Views
from tsssl_fast.methods.teacher import Schedule
from tsssl_fast.methods.tokens import OfTokens, Taught


class _Words(OfTokens):
    """Which word of a codebook each hidden patch is.

    loss = mean over hidden patches of cross_entropy(classifier(h), codes_of(patch))
    """

    codebook: Tensor
    fitted: Tensor

    def _has_words(self, codes: int, columns: int) -> None:
        """Adds a token, a classifier of `codes` words, and the codebook (codes, columns), which is
        not fitted yet."""
        self.token = nn.Parameter(0.02 * torch.randn(self.encoder.width))
        self.classifier = nn.Linear(self.encoder.width, codes)
        self.register_buffer("codebook", torch.zeros(codes, columns))
        self.register_buffer("fitted", torch.tensor(False))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        codes = self.codes_of(patches)[hidden]
        logits = self.classifier(self.filled(patches, hidden)[hidden])
        accuracy = (logits.detach().argmax(1) == codes).float().mean()
        return cross_entropy(logits, codes), {"code_accuracy": accuracy}

    @abstractmethod
    def codes_of(self, patches: Tensor) -> Tensor:
        """(N, L, P) -> (N, L) int64; fits the codebook to the first patches that it sees."""

    def _fit_to(self, rows: Tensor, spherical: bool = False) -> None:
        """Begins the codebook by k-means over (M, columns), unless it is there."""
        if not self.fitted:
            words = clustering.kmeans(rows, len(self.codebook), spherical=spherical)
            self.codebook.copy_(words)
            self.fitted.fill_(True)


class BEiT(_Words):
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

    def __init__(
        self, encoder: nn.Module, codes: int, views: Views | None = None, ratio: float = 0.4
    ) -> None:
        super().__init__(encoder, views, ratio)
        self._has_words(codes, self.encoder.channels * self.encoder.patch)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.4, codes: float = 64
    ) -> "BEiT":
        """The encoder with a codebook of `codes` words; `ratio` of the patches hidden."""
        return cls(encoder, int(codes), views, ratio)

    @torch.no_grad()
    def codes_of(self, patches: Tensor) -> Tensor:
        flat = patches.flatten(0, 1)
        self._fit_to(flat)
        return clustering.assign(flat, self.codebook).view(patches.shape[:2])


class BEiTv2(_Words, Taught):
    """BEiT with words of features: which word of a codebook a teacher's features of each hidden
    token are, by cosine.

        c(token) = the nearest of K unit centres to the teacher's token
        loss = mean over hidden tokens of cross_entropy(classifier(h), c(token))
        in training: a centre moves towards the mean of its tokens by 1 - momentum of the centres

    Source: BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers, 2022.
    Deviations: the teacher is the encoder's own momentum copy, where a foreign model is distilled;
    spherical k-means over the first batch begins the codebook.

    Args: as `BEiT`, but
        momentum: of the teacher, in [0, 1), or a schedule of `methods.teacher`.
        centres_momentum: in [0, 1).
    """

    def __init__(
        self,
        encoder: nn.Module,
        codes: int,
        views: Views | None = None,
        ratio: float = 0.4,
        momentum: float | Schedule = 0.99,
        centres_momentum: float = 0.99,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        checks.fraction("centres_momentum", centres_momentum)
        self.centres_momentum = centres_momentum
        self._has_words(codes, self.encoder.width)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.4, codes: float = 64
    ) -> "BEiTv2":
        """A codebook of `codes` words; `ratio` of the patches hidden."""
        return cls(encoder, int(codes), views, ratio)

    @torch.no_grad()
    def codes_of(self, patches: Tensor) -> Tensor:
        """As of `BEiT`; the codebook moves in training."""
        flat = normalize(self.taught(patches).flatten(0, 1), dim=1)
        self._fit_to(flat, spherical=True)
        centres = self.codebook.to(flat.dtype)
        moved, codes = clustering.kmeans_step(flat, centres, spherical=True)
        if self.training:
            mixed = normalize(torch.lerp(moved, centres, self.centres_momentum), dim=1)
            self.codebook.copy_(mixed)
        return codes.view(patches.shape[:2])
