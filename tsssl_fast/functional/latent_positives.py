"""Positives made in the space of embeddings, as hard as a cluster allows."""

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import unit_rows


def slerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """Along the great circle from a to b: (N, D) unit rows, t in [0, 1], a number or (N,).

        sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b,  w the angle between them

    Computed as cos(t w) a + sin(t w) e with e the unit part of b across a; where a = b it is a.
    Opposite rows have no one circle: some one is taken. Returns (N, D) unit rows. Raises TypeError,
    ValueError naming the argument.
    """
    checks.matrix("a", a)
    a, b = checks.alike(("a", "b"), (a, b))
    share = t if isinstance(t, Tensor) else a.new_full((len(a),), float(t))
    arguments.check_shape("t", share, (len(a),), a)
    across, angle = _circle(a, b)
    at = (share.to(a.dtype) * angle)[:, None]
    return torch.nn.functional.normalize(at.cos() * a + at.sin() * across, dim=1)


def _circle(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The unit part of b across a, (N, D), and the angle from a to b, (N,)."""
    along = (a * b).sum(1)
    rest = b - along[:, None] * a
    length = torch.linalg.vector_norm(rest, dim=1)
    safe = torch.where(length > 0, length, 1.0)
    return rest / safe[:, None], torch.atan2(length, along)


@torch.no_grad()
def slerp_limit(z: Tensor, prototypes: Tensor, towards: Tensor) -> Tensor:
    """How far a row may go to a prototype before any other prototype than its own becomes the
    nearest by cosine: the smallest such t in (0, 1], else 1.

    Along z cos(x) + e sin(x) the lead of the own prototype a over b is A cos(x) - B sin(x) with
    A = <z, a - b>, B = <e, b - a>: it ends at x = atan2(A, B), the first root in (0, pi).

    Args:
        z: (N, D) unit rows. prototypes: (K, D) unit rows, K >= 2. towards: (N,) integers in
            [0, K), where each row goes.

    Returns:
        (N,) in [0, 1]; 0 only where two prototypes are equally near already.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_sets("prototypes", prototypes, (None, z.shape[1]), z, least=2, like="z")
    arguments.check_labels("towards", towards, z)
    z, prototypes = arguments.in_one_dtype(z, prototypes)
    across, angle = _circle(z, prototypes[towards])
    near, far = z @ prototypes.T, across @ prototypes.T
    own = near.argmax(1, keepdim=True)
    lead = near.gather(1, own) - near
    ends = torch.atan2(lead, far - far.gather(1, own)).scatter(1, own, torch.inf)
    share = ends.amin(1) / torch.where(angle > 0, angle, torch.finfo(z.dtype).tiny)
    return share.clamp_max(1)


def latent_positives(
    z: Tensor,
    prototypes: Tensor,
    *,
    hardness: float = 0.8,
    towards: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """New positives of each row: a random part of the way to a prototype, as far as the nearest
    prototype stays the same (HaLP: Hallucinating Latent Positives for Skeleton-based
    Self-Supervised Learning of Actions, 2023).

        slerp(z_i, c_i, t_i),  t_i ~ U(0, hardness limit_i)

    with the limit of :func:`slerp_limit`.

    Args:
        z: (N, D) rows, scaled to length 1 here. prototypes: (K, D), K >= 2, scaled alike: such as
            spherical k-means (`clustering.kmeans`) of past embeddings.
        hardness: share of the limit, > 0 and at most 1.
        towards: (N,) integers, the prototypes; None: drawn among all.
        generator: torch's global one if None.

    Returns:
        (N, D) unit rows without gradient: the keys of a loss whose queries have it.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_sets("prototypes", prototypes, (None, z.shape[1]), z, least=2, like="z")
    z, prototypes = arguments.in_one_dtype(z, prototypes)
    if checks.positive("hardness", hardness) > 1:
        raise ValueError(f"hardness: {hardness}; accepted: above 0, at most 1")
    with torch.no_grad():
        u, centres = unit_rows(z), unit_rows(prototypes)
        if towards is None:
            towards = torch.randint(len(centres), (len(u),), generator=generator, device=u.device)
        limit = slerp_limit(u, centres, towards)
        share = torch.rand(len(u), generator=generator, dtype=u.dtype, device=u.device)
        return slerp(u, centres[towards], hardness * share * limit)
