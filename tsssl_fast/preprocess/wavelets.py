"""Orthogonal wavelet transform along time, and back."""

import math

import torch
from torch import Tensor

from tsssl_fast.augment import inputs
from tsssl_fast.common import checks

_ROOT2, _ROOT3 = math.sqrt(2), math.sqrt(3)
# Scaling filters of Haar and of Daubechies with two vanishing moments; both in closed form.
_FILTERS = {
    "haar": (1 / _ROOT2, 1 / _ROOT2),
    "db2": tuple(v / (4 * _ROOT2) for v in (1 + _ROOT3, 3 + _ROOT3, 3 - _ROOT3, 1 - _ROOT3)),
}
WAVELETS = tuple(_FILTERS)


def wavelet(x: Tensor, *, kind: str = "db2", levels: int = 1) -> list[Tensor]:
    """Discrete wavelet transform with periodic ends (Daubechies, Ten Lectures on Wavelets, 1992).

    Per level, with h the scaling filter, g_k = (-1)^k h_{K-1-k}, indices modulo the length:

        approximation[i] = sum_k h_k a[2 i + k];  detail[i] = sum_k g_k a[2 i + k]

    Args:
        x: (N, C, T) floating, T a multiple of 2^levels and T / 2^(levels - 1) >= the filter's
            length (2 of "haar", 4 of "db2").
        kind: "haar" or "db2". levels: 1 or more.

    Returns:
        [approximation (N, C, T / 2^levels), detail of the coarsest level, ..., of the finest
        (N, C, T / 2)], differentiable. The transform is orthogonal: energies are kept. Setting
        details to 0 before :func:`inverse_wavelet` smooths.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("x", x)
    inputs.check_series(x, "NCT")
    taps = _taps(kind, x)
    checks.at_least("levels", levels, 1)
    steps = x.shape[2]
    if steps % 2**levels or steps // 2 ** (levels - 1) < taps.shape[1]:
        raise ValueError(
            f"levels: {levels} of {steps} steps; accepted: steps that 2^levels divides, and "
            f"{taps.shape[1]} left at the last level"
        )
    details, rest = [], x
    for _ in range(int(levels)):
        at = _places(rest.shape[2], taps)
        rest, detail = (rest[..., at] @ taps.T).unbind(-1)
        details.append(detail)
    return [rest, *details[::-1]]


def inverse_wavelet(parts: list[Tensor], *, kind: str = "db2") -> Tensor:
    """The series of :func:`wavelet`'s parts: (N, C, T). Raises ValueError for parts that do not
    double in length."""
    rest = parts[0]
    taps = _taps(kind, rest)
    for detail in parts[1:]:
        if detail.shape != rest.shape:
            raise ValueError(
                f"parts: {tuple(detail.shape)} beside {tuple(rest.shape)}; accepted: those of "
                "wavelet, coarsest first"
            )
        steps = 2 * rest.shape[2]
        spread = torch.stack([rest, detail], -1) @ taps
        flat = _places(steps, taps).flatten()
        rest = rest.new_zeros(*rest.shape[:2], steps).index_add(2, flat, spread.flatten(2))
    return rest


def _taps(kind: str, like: Tensor) -> Tensor:
    """(2, K): scaling and wavelet filter."""
    checks.choice("kind", kind, WAVELETS)
    h = _FILTERS[kind]
    g = [(-1) ** k * v for k, v in enumerate(reversed(h))]
    return torch.tensor([h, g], dtype=like.dtype, device=like.device)


def _places(steps: int, taps: Tensor) -> Tensor:
    """(steps / 2, K): the steps under the filter at every second step."""
    first = torch.arange(0, steps, 2, device=taps.device)
    return (first[:, None] + torch.arange(taps.shape[1], device=taps.device)) % steps
