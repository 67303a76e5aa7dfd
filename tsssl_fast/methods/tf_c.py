"""TF-C: a series and its spectrum are embedded near each other."""

import copy

import torch
from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.augment import validation
from tsssl_fast.common import checks
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment, at_least, one_view
from tsssl_fast.methods.base import projector as head_of


def amplitudes(x: Tensor) -> Tensor:
    """|rfft(x)| / sqrt(T): (N, C, T) -> (N, C, T // 2 + 1); in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    spectrum: Tensor = torch.fft.rfft(wide, norm="ortho")
    return spectrum.abs()


class TFC(Siamese):
    """Time and frequency each tell a series from the others, and both embed it alike.

        h_t, h~_t = encoder(x), encoder(view);  z = projector(h)
        h_f, h~_f = spectral_encoder(|X|), spectral_encoder(|X| with bins removed and added)
        L_t = NTXent(h_t, h~_t);  L_f = NTXent(h_f, h~_f);  S(a, b) = NTXent(a, b)
        L_c = mean over pairs of max(0, S(z_t, z_f) - S(pair) + margin),
              pairs (z_t, z~_f), (z~_t, z_f), (z~_t, z~_f)
        loss = share (L_t + L_f) + (1 - share) L_c

    A pair that augmentation has parted shall not be nearer than the true one. Source: Self-
    Supervised Contrastive Pre-Training For Time Series via Time-Frequency Consistency, 2022,
    equations (1) to (3). Deviations: the mean of the three pairs, where their sum is printed; it
    ends at 0, as triplet losses do: without that end the parted pairs moved apart for ever, and
    features became worse than those of a random encoder; amplitudes over sqrt(T), so that they are
    as large as the series.

    Args: as `Siamese` without loss, but
        views: the first view is used.
        spectral_encoder, spectral_projector: as encoder and projector, of (N, C, T // 2 + 1).
        share: of both contrasts, in [0, 1]. margin: finite. temperature: > 0.
        ratio: of the bins, in [0, 1]: as many are removed and as many raised to
            `strength` of the greatest of their channel at least, >= 0.

    Raises ValueError naming the argument, and for a batch of one.
    """

    takes_lengths = False

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        spectral_encoder: nn.Module,
        spectral_projector: nn.Module,
        share: float = 0.5,
        margin: float = 1.0,
        temperature: float = 0.2,
        ratio: float = 0.1,
        strength: float = 0.1,
    ) -> None:
        super().__init__(encoder, projector, views, NTXentLoss(temperature=temperature))
        for name, value in (("share", share), ("ratio", ratio)):
            validation.interval(name, value, 0, 1)
        self.spectral_encoder, self.spectral_projector = spectral_encoder, spectral_projector
        self.share, self.margin, self.ratio = share, margin, ratio
        self.strength = checks.non_negative("strength", strength)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        share: float = 0.5,
        margin: float = 1.0,
        temperature: float = 0.2,
    ) -> "TFC":
        """A copy of the encoder for the spectrum, two 256-128 projectors."""
        spectral = copy.deepcopy(encoder), head_of(encoder)
        return cls(encoder, head_of(encoder), views, *spectral, share, margin, temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(self.min_batch, batch)
        spectrum = amplitudes(batch.x).to(batch.x.dtype)
        of_time = torch.cat([batch.x, one_view(self.views, batch)])
        of_frequency = torch.cat([spectrum, self.perturbed(spectrum, batch)])
        h_t = self.encode(of_time)
        h_f = self.encode(of_frequency, self.spectral_encoder)
        contrast = self.criterion(*h_t.chunk(2)) + self.criterion(*h_f.chunk(2))
        z_t, aug_t = self.projector(h_t).chunk(2)
        z_f, aug_f = self.spectral_projector(h_f).chunk(2)
        near = self.criterion(z_t, z_f)
        pairs = (z_t, aug_f), (aug_t, z_f), (aug_t, aug_f)
        parted = torch.stack([self.criterion(*pair) for pair in pairs])
        consistency = (near - parted + self.margin).relu().mean()
        logs = {"contrast": contrast.detach(), "consistency": consistency.detach()}
        loss = self.share * contrast + (1 - self.share) * consistency
        return loss, {"alignment": alignment(z_t, z_f), **logs}

    def perturbed(self, spectrum: Tensor, batch: Batch) -> Tensor:
        """The amplitudes (N, C, B) with bins removed, and others raised."""
        shape = (len(spectrum), spectrum.shape[2])
        removed, raised = masking.random_mask(
            *(shape, self.ratio),
            views=2,
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=spectrum.device,
        )[:, :, None]
        least = self.strength * spectrum.amax(-1, keepdim=True)
        return torch.where(raised, spectrum.maximum(least), spectrum.masked_fill(removed, 0))

    @torch.no_grad()
    def embed_both(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, 2 D): of time and of frequency, as the paper's downstream tasks have."""
        z_t = self.projector(self.encoder(x))
        z_f = self.spectral_projector(self.spectral_encoder(amplitudes(x).to(x.dtype)))
        return torch.cat([z_t, z_f], dim=1)
