"""`grouped_nt_xent`: the definition, and the same as an operator."""

import torch
from torch import Tensor

from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.nt_xent import rows_backward, rows_forward, two_views
from tsssl_fast.ops.contrastive.reference.pairs import log1p_exp, pair_logsumexp


def grouped_nt_xent(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> Tensor:
    """G independent NT-Xent problems: (G, L, D), (G, L, D) -> (G, 2L); group g has its first
    lengths[g] rows per view, and its 2 lengths[g] losses come first, zeros behind."""
    size = z1.shape[1]
    out = []
    for a, b, n in zip(z1, z2, _lengths(z1, lengths), strict=True):
        if n == 0:
            out.append(a.new_zeros(2 * size, dtype=spec.compute_dtype(a.dtype)))
            continue
        negative, positive, _ = pair_logsumexp(*two_views(a[:n], b[:n], temperature, normalize))
        loss = log1p_exp(negative - positive)
        out.append(torch.nn.functional.pad(loss, (0, 2 * size - 2 * n)))
    return torch.stack(out)


def _lengths(z: Tensor, lengths: Tensor | None) -> list[int]:
    return [z.shape[1]] * len(z) if lengths is None else [int(n) for n in lengths]


def grouped_forward(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    size = (z1.shape[0], 2 * z1.shape[1])
    losses = z1.new_zeros(size, dtype=spec.compute_dtype(z1.dtype))
    saved = losses.new_zeros((len(spec.NT_XENT_ROWS), *size))
    for g, n in enumerate(_lengths(z1, lengths)):
        if n > 0:
            found = rows_forward(z1[g, :n], z2[g, :n], temperature, normalize)
            losses[g, : 2 * n], saved[:, g, : 2 * n] = found
    return losses, saved


def grouped_backward(
    grad: Tensor,
    z1: Tensor,
    z2: Tensor,
    saved: Tensor,
    lengths: Tensor | None,
    temperature: float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    g1, g2 = torch.zeros_like(z1), torch.zeros_like(z2)
    for g, n in enumerate(_lengths(z1, lengths)):
        if n > 0:
            rows, views = slice(2 * n), (z1[g, :n], z2[g, :n], temperature, normalize)
            dz = rows_backward(grad[g, rows], saved[:, g, rows], *views)
            g1[g, :n], g2[g, :n] = dz[:n], dz[n:]
    return g1, g2
