"""What series say without an encoder: moments, spectrum, autocorrelation, correlated channels."""

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.common import checks

LAGS = (1, 2, 4, 8, 16)
# A variance far below which a band or a channel counts as silent; the series are scaled ones.
FLOOR = 1e-7


def series_statistics(x: Tensor) -> Tensor:
    """(N, C, T) -> (N, C (4 + B + 5) + C (C - 1) / 2): features made by hand, to set beside those
    of an encoder, or to add to them.

        moments:          mean, standard deviation, minimum and maximum over time
        bands:            log(10^-7 + variance of x in (2^(b-1), 2^b] cycles), b = 0 ... B-1
        autocorrelation:  <u[:-l], u[l:]> for l = 1, 2, 4, 8, 16; 0 from l = T on
        correlation:      <u_c, u_d> for channels c < d

    with u = (x - mean) / |x - mean| and the least B that reaches T / 2 cycles. Every kind stands
    for all channels before the next. A constant channel correlates with nothing. Computed in
    float64.

    Source: the kinds of features that came with UCI HAR (Anguita et al., ESANN 2013), fewer.
    Raises TypeError, ValueError for x of another kind or shape.
    """
    checks.floating("x", x)
    if x.dim() != 3 or 0 in x.shape:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T), none of them 0")
    wide = x.double()
    channels, steps = x.shape[1:]
    centred = wide - wide.mean(-1, keepdim=True)
    # A real series' frequencies stand for two bins each, all but 0 and T / 2.
    power = 2 * torch.fft.rfft(centred).abs().square() / steps**2
    if steps % 2 == 0:
        power[..., -1] /= 2
    bands = 1 + math.ceil(math.log2(max(1, steps // 2)))
    edges = [0, *(2**b for b in range(bands))]
    spectrum = [
        (power[..., low + 1 : high + 1].sum(-1) + FLOOR).log()
        for low, high in itertools.pairwise(edges)
    ]
    unit = normalize(centred, dim=-1, eps=math.sqrt(FLOOR * steps))
    later = [(unit[..., lag:] * unit[..., : max(0, steps - lag)]).sum(-1) for lag in LAGS]
    first, second = torch.triu_indices(channels, channels, 1)
    pairs = (unit @ unit.mT)[:, first, second]
    moments = [wide.mean(-1), wide.std(-1, correction=0), wide.amin(-1), wide.amax(-1)]
    return torch.cat([*moments, *spectrum, *later, pairs], dim=1).to(x.dtype)
