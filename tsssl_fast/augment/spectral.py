"""Operations on the spectrum along time, with torch.fft.

Unlike all others they are held to a tolerance instead of to the bit: Fourier transforms round
differently from library to library. What they draw is the same everywhere.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tsssl_fast import rng
from tsssl_fast.augment import _ranges
from tsssl_fast.augment._plain import Plain
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class _Spectral(Plain):
    """per_channel: channels draw on their own; else all share the draws."""

    per_channel: bool = False

    def check(self) -> None:
        _ranges.boolean("per_channel", self.per_channel)

    def change(self, spectrum: Tensor, words: Tensor, steps: int) -> Tensor:
        """The spectrum (views, N, C, bins) of T = `steps`, with a word for every bin."""
        raise NotImplementedError

    def __call__(
        self,
        x: Tensor,
        views: int = 2,
        *,
        seed: int | torch.Generator | Tensor | None = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
    ) -> Tensor:
        """(N, C, T), or (views, N, C, T) from a pipeline, -> (views, N, C, T).

        Differentiable with respect to x; other arguments as Compose's call.
        """
        batch = self.prepare(x, views, seed, sample_ids, epoch, step, rank)
        _, _, c, t = batch.x.shape
        words = batch.elements(c if self.per_channel else 1, t // 2 + 1)
        spectrum = self.change(torch.fft.rfft(batch.x), words, t)
        acts = self.coin(batch.words(1))[..., None, None]
        return torch.where(acts, torch.fft.irfft(spectrum, n=t), batch.x).to(x.dtype)


@dataclass(frozen=True)
class FrequencyMask(_Spectral):
    """Every frequency but the mean is removed with probability `rate` (as in TF-C's removal).

    Args:
        rate: in [0, 1].
        per_channel: channels draw on their own.
    """

    rate: float = 0.1
    code: ClassVar[Code] = Code.FREQUENCY_MASK

    def check(self) -> None:
        super().check()
        _ranges.probability("rate", self.rate)

    def change(self, spectrum: Tensor, words: Tensor, steps: int) -> Tensor:
        removed = words < round(self.rate * spec.ALWAYS)
        removed[..., 0] = False
        return torch.where(removed, 0.0, spectrum)


@dataclass(frozen=True)
class PhaseSurrogate(_Spectral):
    """Random phases under the same amplitudes (Theiler et al., Physica D 1992).

    The phase of every frequency but the mean turns by an angle uniform on [-strength pi, strength
    pi): power spectrum and autocorrelation stay. The highest frequency of an even T has no phase
    and stays too.

    Args:
        strength: in [0, 1]; 1 forgets the phases.
        per_channel: channels draw on their own.
    """

    strength: float = 1.0
    code: ClassVar[Code] = Code.PHASE_SURROGATE

    def check(self) -> None:
        super().check()
        _ranges.probability("strength", self.strength)

    def change(self, spectrum: Tensor, words: Tensor, steps: int) -> Tensor:
        angle = (rng.uniform(words, torch.float64) * 2 - 1) * (torch.pi * self.strength)
        angle = angle.to(torch.float64 if spectrum.dtype == torch.complex128 else torch.float32)
        turned = spectrum * torch.polar(torch.ones_like(angle), angle)
        bins = torch.arange(spectrum.shape[-1], device=spectrum.device)
        return torch.where((bins == 0) | (2 * bins == steps), spectrum, turned)
