"""Synthetic features for contrastive losses: thin torch functions that feed the engine."""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments


def mix_hard_negatives(
    q: Tensor,
    negatives: Tensor,
    *,
    hardest: int = 1024,
    mixed: int = 256,
    with_query: int = 128,
    generator: torch.Generator | None = None,
) -> Tensor:
    """MoCHi (Kalantidis et al., NeurIPS 2020): convex mixes of each query's hardest negatives.

    Of the `hardest` most similar negatives, `mixed` pairs are combined as a n_i + (1 - a) n_j with
    a ~ U(0, 1), and `with_query` as b q + (1 - b) n_j with b ~ U(0, 0.5); all renormalised.

    Args:
        q: (N, D) and negatives: (K, D), both unit rows. generator: torch's global one if None.

    Returns:
        (N, mixed + with_query, D) without gradient: the `query_keys` of :func:`contrastive`.

    Raises:
        ValueError: a count < 1 for hardest, < 0 for the others, or hardest > K.
    """
    arguments.check_operands(q, negatives, name="negatives")
    q, negatives = arguments.in_one_dtype(q, negatives)
    for name, value, least in (
        ("hardest", hardest, 1),
        ("mixed", mixed, 0),
        ("with_query", with_query, 0),
    ):
        checks.at_least(name, value, least)
    if hardest > len(negatives):
        raise ValueError(f"hardest: {hardest}; accepted: at most K = {len(negatives)}")
    with torch.no_grad():
        top = (q @ negatives.T).topk(hardest, dim=1).indices
        count = mixed + with_query

        def pick(size: int) -> Tensor:
            at = torch.randint(hardest, (len(q), size), generator=generator, device=q.device)
            return negatives[top.gather(1, at)]

        share = torch.rand((len(q), count, 1), generator=generator, device=q.device, dtype=q.dtype)
        share[:, mixed:] *= 0.5
        first = torch.cat([pick(mixed), q[:, None].expand(-1, with_query, -1)], dim=1)
        out = share * first + (1 - share) * pick(count)
        return torch.nn.functional.normalize(out, dim=-1)


def extrapolate_positives(
    q: Tensor, k: Tensor, *, alpha: float = 2.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Positive extrapolation (Zhu et al., ICCV 2021): both sides are pushed apart, which makes the
    pair harder: q' = m q + (1 - m) k, k' = m k + (1 - m) q, with m = 1 + Beta(alpha, alpha) per
    pair.

    Args:
        q, k: (N, D). alpha > 0.

    Returns:
        (q', k'), not renormalised (use normalize=False, or let the loss normalise).

    Raises:
        TypeError, ValueError: q or k not floating (N, D) or not alike; alpha not > 0.
    """
    arguments.check_operands(q, k)
    q, k = checks.alike(("q", "k"), (q, k))
    checks.positive("alpha", alpha)
    m = 1 + _beta((len(q), 1), alpha, q, generator)
    return m * q + (1 - m) * k, m * k + (1 - m) * q


def interpolate_negatives(
    negatives: Tensor, *, alpha: float = 1.6, generator: torch.Generator | None = None
) -> Tensor:
    """Negative interpolation (Zhu et al., ICCV 2021): every negative mixed with another,
    n' = m n + (1 - m) n[permutation], m ~ Beta(alpha, alpha) per row. (K, D) -> (K, D).

    Raises TypeError, ValueError: negatives not floating (K, D); alpha not > 0.
    """
    checks.matrix("negatives", negatives)
    checks.positive("alpha", alpha)
    m = _beta((len(negatives), 1), alpha, negatives, generator)
    order = torch.randperm(len(negatives), generator=generator, device=negatives.device)
    return m * negatives + (1 - m) * negatives[order]


def mix_hardest_pairs(
    z: Tensor, labels: Tensor, *, least: float = 0.8, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """A harder positive for every row: its least similar row of the same label, mixed with its most
    similar row of another (Unleashing the Power of Contrastive Self-Supervised Visual Models via
    Contrast-Regularized Fine-Tuning, 2021):

        z'_i = m_i u_p + (1 - m_i) u_n, scaled to length 1; m_i uniform in [least, 1)

    u are the unit rows of z; p and n those of the lowest and the highest cosine with row i.

    Args:
        z: (N, D). labels: (N,) integers. least: in (0.5, 1], of the positive's share.
        generator: torch's global one if None.

    Returns:
        (z', valid): (N, D), with gradient, and (N,) bool: whether row i has a row of its label
        beside it, and one of another.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_labels("labels", labels, z)
    if not 0.5 < least <= 1:
        raise ValueError(f"least: {least}; accepted: a number in (0.5, 1]")
    u = torch.nn.functional.normalize(z, dim=1)
    with torch.no_grad():
        similarity = u @ u.T
        same = labels[:, None] == labels
        others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        hardest = similarity.masked_fill(~(same & others), torch.inf).argmin(1)
        nearest = similarity.masked_fill(same, -torch.inf).argmax(1)
        valid = (same & others).any(1) & (~same).any(1)
        drawn = torch.rand(len(z), 1, generator=generator, dtype=torch.float64, device=z.device)
        share = (least + (1 - least) * drawn).to(z.dtype)
    mixed = share * u[hardest] + (1 - share) * u[nearest]
    return torch.nn.functional.normalize(mixed, dim=1), valid


@torch.no_grad()
def quality_weights(foreground: Tensor, background: Tensor, *, temperature: float = 1.0) -> Tensor:
    """How good generated pairs are, as the `query_weight` of :func:`contrastive_loss` (GenView:
    Enhancing View Quality with Pretrained Generative Model for Self-Supervised Learning, 2024):

        w_i = N softmax_i((foreground_i - background_i) / temperature)

    A pair counts more the more alike what matters is in its views, and the less alike the rest.

    Args:
        foreground, background: (N,) similarities of a pair's views in what matters and in the rest.
        temperature: > 0.

    Returns:
        (N,) constants, mean 1.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name, x in (("foreground", foreground), ("background", background)):
        checks.floating(name, x)
        if x.dim() != 1:
            raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: (N,)")
    foreground, background = checks.alike(("foreground", "background"), (foreground, background))
    tau = checks.positive("temperature", temperature)
    return len(foreground) * ((foreground - background) / tau).softmax(0)


def _beta(
    shape: tuple[int, ...], alpha: float, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Beta(alpha, alpha) from two gamma draws."""
    rate = torch.full((2, *shape), alpha, dtype=widest(like), device=like.device)
    a, b = torch._standard_gamma(rate, generator=generator).unbind()
    return (a / (a + b)).to(like.dtype)
