"""Features that are computed, not learnt: moduli of wavelet transforms, with a small adapter."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad
from torch.nn.modules.batchnorm import _BatchNorm

from tsssl_fast.common import checks
from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import hide, normalized, strided


def morlet(scale: float, frequency: float = 2.5) -> Tensor:
    """(2, 1, K): real and imaginary part of a Morlet wavelet of `scale` steps, |values| sum to 1.

        psi(t) = g(t) (exp(i frequency t / scale) - c), g a Gaussian of deviation `scale`

    c makes its mean 0. K covers three deviations on each side.
    """
    reach = math.ceil(3 * scale)
    t = torch.arange(-reach, reach + 1, dtype=torch.float64) / scale
    bell = (-t.square() / 2).exp()
    wave = torch.polar(torch.ones_like(t), frequency * t)
    wave = wave - (bell * wave).sum() / bell.sum()
    psi = bell * wave
    psi = psi / psi.abs().sum()
    return torch.stack([psi.real, psi.imag])[:, None].float()


def modulus(x: Tensor, psi: Tensor) -> Tensor:
    """|x * psi|: (N, C, T), a wavelet (2, 1, K) -> (N, C, T); ends repeat the last step."""
    n, channels, steps = x.shape
    reach = psi.shape[-1] // 2
    rows = pad(x.reshape(n * channels, 1, steps), (reach, reach), mode="replicate")
    parts = conv1d(rows, psi.to(x.dtype))
    return (parts.square().sum(1) + 1e-12).sqrt().view(n, channels, steps)


class Scattering(TimeEncoder):
    """(N, C, T) -> (N, 2 * width): x, |x * psi_a| and ||x * psi_a| * psi_b|, averaged over `stride`
    steps, then an adapter that learns: 1x1 convolution, BN, relu, a convolution of `kernel`, BN,
    relu.

    Sources: Invariant Scattering Convolution Networks, 2013; ScatSimCLR: self-supervised
    contrastive learning with pretext task regularization for small-scale datasets, 2021. The scales
    are 1, 2, 4 ... steps; b runs over scales above a's. C (1 + J + J (J - 1) / 2) paths.

    Args:
        channels: C.
        octaves: J, scales.
        width: of the adapter. stride: steps averaged into one. kernel: odd, of such averages; by
            default the adapter looks at 56 steps, with under a quarter of a `ResNet`'s parameters.

    Raises TypeError for octaves, width, stride or kernel that is no number, ValueError for one
    below 1, or an even kernel.
    """

    def __init__(
        self, channels: int, octaves: int = 5, width: int = 64, stride: int = 8, kernel: int = 7
    ) -> None:
        super().__init__()
        given = {"octaves": octaves, "width": width, "stride": stride, "kernel": kernel}
        for name, value in given.items():
            checks.at_least(name, value, 1)
        if kernel % 2 == 0:
            raise ValueError(f"kernel: {kernel}; accepted: an odd number")
        self.channels, self.octaves = channels, octaves
        self.out_features = 2 * width
        self.stride = stride
        for octave in range(octaves):
            self.register_buffer(f"wavelet_{octave}", morlet(2.0**octave), persistent=False)
        paths = channels * (1 + octaves + octaves * (octaves - 1) // 2)
        self.scale = nn.BatchNorm2d(paths)
        self.mix = nn.Conv2d(paths, width, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), bias=False)
        self.conv_norm = nn.BatchNorm2d(width)

    def paths(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, C, T) -> (N, paths, T): order 0, then every first order followed by its second.

        What a series has at its end stands on beyond it, as at the edges of one without padding.
        """
        end = None
        if lengths is not None:
            end = torch.minimum(torch.arange(x.shape[-1], device=x.device), lengths[:, None] - 1)

        def held(y: Tensor) -> Tensor:
            return y if end is None else y.gather(2, end[:, None].expand_as(y))

        found = [held(x)]
        for a in range(self.octaves):
            first = held(modulus(found[0], self._wavelet(a)))
            found.append(first)
            for b in range(a + 1, self.octaves):
                found.append(held(modulus(first, self._wavelet(b))))
        return torch.cat(found, dim=1)

    def _wavelet(self, octave: int) -> Tensor:
        psi: Tensor = self.get_buffer(f"wavelet_{octave}")
        return psi

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """The scattering itself, then the adapter's two layers."""
        with torch.autocast(x.device.type, enabled=False):
            s = self.paths(x.to(torch.promote_types(x.dtype, torch.float32)), lengths)
        s = pad(s, (0, -s.shape[-1] % self.stride), mode="replicate")
        s = s.unflatten(-1, (-1, self.stride)).mean(-1).unsqueeze(2).to(x.dtype)
        lengths = strided(lengths, self.stride)
        stages = [Stage(hide(normalized(self.scale, s, lengths), lengths), lengths)]
        for conv, norm in ((self.mix, self.mix_norm), (self.conv, self.conv_norm)):
            assert isinstance(norm, _BatchNorm)
            h = hide(torch.relu(normalized(norm, conv(stages[-1].map), lengths)), lengths)
            stages.append(Stage(h, lengths))
        return stages, stages[-1]
