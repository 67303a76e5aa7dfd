"""Clusters of embeddings and what methods make of them: k-means, balanced assignment, centring.

Thin functions on torch's matrix products: a step is one product of N x D with K x D.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks


def assign(x: Tensor, centres: Tensor, spherical: bool = False) -> Tensor:
    """The nearest centre of every row: (N, D), (K, D) -> (N,) int64; by cosine if `spherical`.

    Ties go to the first.
    """
    if spherical:
        return (x @ normalize(centres, dim=1).T).argmax(1)
    # |x - c|^2 without |x|^2, which is the same for all centres.
    return (centres.square().sum(1) - 2 * x @ centres.T).argmin(1)


def kmeans_step(x: Tensor, centres: Tensor, spherical: bool = False) -> tuple[Tensor, Tensor]:
    """One step of Lloyd's algorithm: the new centres (K, D) and the assignment (N,) to the old.

    A centre is the mean of its rows, scaled to length 1 if `spherical` (Dhillon and Modha, 2001);
    one without rows stays.

    Args:
        x: (N, D); of length 1 if `spherical`. centres: (K, D).
    """
    checks.matrix("x", x)
    checks.matrix("centres", centres)
    if centres.shape[1] != x.shape[1]:
        raise ValueError(f"centres: {centres.shape[1]} columns; accepted: {x.shape[1]} as x")
    nearest = assign(x, centres, spherical)
    sums = torch.zeros_like(centres).index_add_(0, nearest, x)
    counts = nearest.bincount(minlength=len(centres))[:, None]
    means = normalize(sums, dim=1) if spherical else sums / counts.clamp_min(1)
    return torch.where(counts > 0, means, centres), nearest


def kmeans(
    x: Tensor, clusters: int, *, steps: int = 20, spherical: bool = False, seed: int = 0
) -> Tensor:
    """Centres (clusters, D) of x (N, D), from k-means++ starts (Arthur and Vassilvitskii, 2007).

    A function of x and seed. Raises ValueError for more clusters than rows.
    """
    checks.matrix("x", x)
    if not 1 <= clusters <= len(x):
        raise ValueError(f"clusters: {clusters}; accepted: 1 to the {len(x)} rows of x")
    if spherical:
        x = normalize(x, dim=1)
    generator = torch.Generator().manual_seed(seed)
    row = int(torch.randint(len(x), (), generator=generator))
    far = (x - x[row]).square().sum(1)
    centres = [x[row]]
    for _ in range(clusters - 1):
        reach = far.to(widest(far)).cumsum(0)
        turn = torch.rand((), generator=generator, dtype=torch.float64).to(reach.dtype)
        aim = turn.to(x.device) * reach[-1]
        row = min(int(torch.searchsorted(reach, aim, right=True)), len(x) - 1)
        centres.append(x[row])
        far = torch.minimum(far, (x - x[row]).square().sum(1))
    found = torch.stack(centres)
    for _ in range(steps):
        found, _ = kmeans_step(x, found, spherical)
    return found


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float = 0.05, iterations: int = 3) -> Tensor:
    """Soft assignments that use all clusters equally: scores (N, K) -> (N, K), rows sum to 1.

    exp(scores / temperature), columns and rows scaled in turns to sums N / K and 1 (Cuturi, 2013;
    Caron et al., SwAV, NeurIPS 2020), in logarithms: nothing overflows at any temperature.
    """
    checks.matrix("scores", scores)
    checks.positive("temperature", temperature)
    logits = scores / temperature
    for _ in range(iterations):
        logits = logits - logits.logsumexp(0)
        logits = logits - logits.logsumexp(1, keepdim=True)
    return logits.exp()


def student_t_assignments(z: Tensor, centres: Tensor, *, freedom: float = 1.0) -> Tensor:
    """Soft assignments by a Student-t kernel (Unsupervised Deep Embedding for Clustering Analysis,
    2016, equation 1; used by SCGC, 2022): (N, D), (K, D) -> (N, K), rows sum to 1.

        q_ij ~ (1 + |z_i - c_j|^2 / freedom)^(-(freedom + 1) / 2)

    Gradients reach both. Raises TypeError, ValueError naming the argument.
    """
    checks.matrix("z", z)
    checks.matrix("centres", centres)
    if centres.shape[1] != z.shape[1]:
        raise ValueError(f"centres: {centres.shape[1]} columns; accepted: {z.shape[1]} as z")
    freedom = checks.positive("freedom", freedom)
    distance = (z[:, None] - centres).square().sum(2)
    return (-(freedom + 1) / 2 * (distance / freedom).log1p()).softmax(1)


@torch.no_grad()
def refinement_targets(assignments: Tensor) -> Tensor:
    """Sharpened, evened assignments p_ij ~ q_ij^2 / sum_i q_ij, rows sum to 1 (Unsupervised Deep
    Embedding for Clustering Analysis, 2016, equation 3): (N, K) -> (N, K), constants."""
    checks.matrix("assignments", assignments)
    size = assignments.sum(0)
    p = assignments.square() / torch.where(size > 0, size, 1.0)
    return p / p.sum(1, keepdim=True)


def refinement_loss(z: Tensor, centres: Tensor, *, freedom: float = 1.0) -> Tensor:
    """Cluster refinement (Unsupervised Deep Embedding for Clustering Analysis, 2016): the mean over
    the rows of KL(p || q), with q of :func:`student_t_assignments`, p of
    :func:`refinement_targets`. Its sum over rows is the published loss. Arguments as for q."""
    q = student_t_assignments(z, centres, freedom=freedom)
    p = refinement_targets(q)
    return (torch.xlogy(p, p) - p * q.log()).sum(1).mean()


class Centring(nn.Module):
    """A teacher's assignments, kept apart by a running centre: softmax((scores - c) / temperature).

    c <- momentum c + (1 - momentum) mean(scores) in training (Caron et al., DINO, ICCV 2021).

    Args:
        clusters: K.
        temperature: of the teacher, below the student's, so that assignments sharpen.
        momentum: in [0, 1).
    """

    centre: Tensor

    def __init__(self, clusters: int, temperature: float = 0.04, momentum: float = 0.9) -> None:
        super().__init__()
        checks.fraction("momentum", momentum)
        self.temperature = checks.positive("temperature", temperature)
        self.momentum = momentum
        self.register_buffer("centre", torch.zeros(clusters))

    @torch.no_grad()
    def forward(self, scores: Tensor) -> Tensor:
        """(N, K) -> (N, K), rows sum to 1."""
        assigned = ((scores - self.centre) / self.temperature).softmax(1)
        if self.training:
            self.centre.lerp_(scores.mean(0), 1 - self.momentum)
        return assigned


def assignment_loss(scores: Tensor, assignments: Tensor, temperature: float = 0.1) -> Tensor:
    """The views predict each other's assignments: the mean over ordered pairs v != w of

        cross_entropy(softmax(scores_v / temperature), assignments_w)

    The cross-view loss of SwAV (assignments from `sinkhorn`) and DINO (from `Centring`).

    Args:
        scores: (V, N, K) of the student, V >= 2.
        assignments: (W, N, K), W <= V, of the first W views; constants in the derivative.
    """
    if scores.dim() != 3 or len(scores) < 2:
        raise ValueError(f"scores: shape {tuple(scores.shape)}; accepted: (V, N, K) with V >= 2")
    views, targets = len(scores), len(assignments)
    if assignments.shape[1:] != scores.shape[1:] or not 1 <= targets <= views:
        raise ValueError(
            f"assignments: shape {tuple(assignments.shape)}; accepted: (W, {scores.shape[1]}, "
            f"{scores.shape[2]}) with 1 <= W <= {views}"
        )
    logp = (scores / checks.positive("temperature", temperature)).log_softmax(2)
    pairs = -torch.einsum("vnk,wnk->vw", logp, assignments.detach()) / scores.shape[1]
    same = torch.eye(views, targets, dtype=torch.bool, device=scores.device)
    return pairs.masked_fill(same, 0.0).sum() / (views * targets - targets)
