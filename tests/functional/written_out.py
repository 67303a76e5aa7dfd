"""Losses written out as plain arrays of all pairs or all columns, in any dtype, for
test_crossed_options.py. They share no code with the package."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, max_pool1d

Options = dict[str, Any]
Definition = Callable[[tuple[Tensor, ...], Options], Tensor]


def rows(z: Tensor) -> Tensor:
    return z.reshape(-1, z.shape[-1])


def mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()


def off_diagonal(c: Tensor) -> Tensor:
    return (c.square() * (1 - torch.eye(len(c), dtype=c.dtype))).sum()


# Scale of the invariance by the number of dimensions or not, of the mean over the views of hinges
# and of covariances, the weights: Bardes et al. 2022 a and b, Lee and Aune 2021, the libraries.
VICREG = {
    "official": (True, 1, 2, (25.0, 25.0, 1.0)),
    "lightly": (True, 1, 2, (25.0, 25.0, 1.0)),
    "unit-weights": (False, 2, 2, (1.0, 1.0, 1.0)),
    "solo-learn": (True, 2, 2, (25.0, 25.0, 1.0)),
    "vicregl": (True, 1, 1, (25.0, 25.0, 1.0)),
    "vibcreg": (True, 2, 2, (25.0, 25.0, 200.0)),
}
BARLOW_TWINS = {
    "official": (0.0051, 1.0, True, False, 1e-5),
    "lightly": (0.005, 1.0, True, False, 1e-5),
    "solo-learn": (0.005, 0.025, True, False, 1e-5),
    "stable-pretraining": (0.0051, 1.0, True, True, 1e-12),
    "uncentered": (0.0051, 1.0, False, False, 1e-12),
}


def vicreg(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    views = [rows(z) for z in inputs]
    n, dim = views[0].shape
    convention = options.get("convention", "official")
    over_dim, of_hinge, of_covariance, weights = VICREG[convention]
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    weights = [options.get(name, own) for name, own in zip(names, weights, strict=True)]
    gamma, eps = options.get("gamma", 1.0), options.get("eps", 1e-4)
    least = options.get("norm_eps", 1e-12)
    distance = mean([(a - b).square().sum() / n for a, b in combinations(views, 2)])
    hinge = mean([(gamma - (z.var(dim=0) + eps).sqrt()).clamp_min(0).mean() for z in views])
    penalties = []
    for z in views:
        x = z - z.mean(dim=0)
        if options.get("correlation", convention == "vibcreg"):
            x = x / x.square().sum(dim=0).sqrt().clamp_min(least)
            penalties.append(off_diagonal(x.T @ x) / dim**2)
        else:
            penalties.append(off_diagonal(x.T @ x / (n - 1)) / dim)
    terms = (distance / dim if over_dim else distance, of_hinge * hinge)
    terms = (*terms, of_covariance * mean(penalties))
    return sum((w * t for w, t in zip(weights, terms, strict=True) if w), torch.zeros_like(hinge))


def barlow_twins(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    names = ("lambd", "scale_loss", "center", "unbiased", "eps")
    own = BARLOW_TWINS[options.get("convention", "official")]
    values = (options.get(name, value) for name, value in zip(names, own, strict=True))
    lambd, scale, center, unbiased, eps = values

    def standard(z: Tensor) -> Tensor:
        x = rows(z)
        x = x - x.mean(dim=0) if center else x
        return x / (x.square().sum(dim=0) / (len(x) - unbiased) + eps).sqrt()

    a, b = map(standard, inputs)
    c = a.T @ b / len(a)
    return scale * ((1 - c.diagonal()).square().sum() + lambd * off_diagonal(c))


def similarities(q: Tensor, k: Tensor, normalize: bool) -> Tensor:
    def unit(z: Tensor) -> Tensor:
        norm = z.norm(dim=1, keepdim=True)
        return torch.where(norm > 1e-12, z / norm.clamp_min(1e-12), 0.0)

    return unit(q) @ unit(k).T if normalize else q @ k.T


def reduced(each: Tensor, valid: Tensor, options: Options) -> Tensor:
    reduction = options.get("reduction", "mean")
    each = torch.where(valid, each, 0.0)
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum() / valid.sum().clamp_min(1)


def kept(z: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid[:, None], z, 0.0)


def siglip(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    q, k, *learned = inputs
    scale, bias = learned or (options.get("logit_scale", 10.0), options.get("logit_bias", -10.0))
    q_valid = options.get("q_valid", torch.ones(len(q), dtype=torch.bool))
    k_valid = options.get("k_valid", torch.ones(len(k), dtype=torch.bool))
    q_ids = options.get("q_ids", torch.arange(len(q)))
    k_ids = options.get("k_ids", torch.arange(len(k)))
    s = similarities(kept(q, q_valid), kept(k, k_valid), options.get("normalize", True))
    sign = torch.where(q_ids[:, None] == k_ids, 1.0, -1.0).to(s.dtype)
    pairs = torch.logaddexp(s.new_zeros(()), -sign * (scale * s + bias))
    return reduced((pairs * k_valid).sum(dim=1), q_valid, options)


def triplet(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    (z,) = inputs
    labels, margin = options["labels"], options.get("margin", 0.2)
    valid = options.get("valid", torch.ones(len(z), dtype=torch.bool))
    s = similarities(kept(z, valid), kept(z, valid), options.get("normalize", True))
    each = []
    for i in range(len(z)):
        others = valid & (torch.arange(len(z)) != i)
        positives = (others & (labels == labels[i])).nonzero()[:, 0]
        negatives = (others & (labels != labels[i])).nonzero()[:, 0]
        if not valid[i] or not len(positives) or not len(negatives):
            each.append(s[i, 0] * 0)
            continue
        hardest = s[i, negatives[s[i, negatives].argmax()]]
        each.append((margin - s[i, positives] + hardest).clamp_min(0).mean())
    return reduced(torch.stack(each), valid, options)


def nt_xent(z1: Tensor, z2: Tensor, options: Options) -> list[Tensor]:
    """The cross-entropies of one group's rows; of one row of each view: zeros."""
    n = len(z1)
    z = torch.cat([z1, z2])
    s = similarities(z, z, options.get("normalize", False)) / options.get("temperature", 1.0)
    s = s.masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return list(-log_softmax(s, dim=1)[torch.arange(2 * n), torch.arange(2 * n).roll(n)])


def hierarchical(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    z1, z2, *learned = inputs
    options = options | ({"temperature": learned[0]} if learned else {})
    alpha = options.get("alpha", 0.5)
    lengths = options.get("lengths", torch.full((len(z1),), z1.shape[1]))
    levels, total = 0, z1.sum() * 0
    while True:
        levels += bool(lengths.any())
        steps = range(z1.shape[1])
        valid = torch.arange(z1.shape[1]) < lengths[:, None]
        at = [nt_xent(z1[valid[:, t], t], z2[valid[:, t], t], options) for t in steps]
        instance = [term for terms in at for term in terms]
        of = [nt_xent(a[v], b[v], options) for a, b, v in zip(z1, z2, valid, strict=True)]
        temporal = [term for terms in of for term in terms]
        if instance:
            total = total + alpha * mean(instance)
        if z1.shape[1] == 1:
            return total / levels
        if temporal:
            total = total + (1 - alpha) * mean(temporal)
        z1, z2 = (max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))
        lengths = lengths // 2


def pair_temperature(temperature: Any, positive: Tensor) -> Any:
    """tau of every pair: a number, one of each row, or by what a pair is."""
    if isinstance(temperature, Tensor):
        return temperature.reshape(-1, 1) if temperature.dim() else temperature
    if isinstance(temperature, float):
        return temperature
    taus = (temperature.positive, temperature.negative)
    return torch.where(positive, *(torch.as_tensor(tau, dtype=torch.float64) for tau in taus))


def of_labels(z: Tensor, labels: Tensor, options: Options) -> Tensor:
    """Of each row the mean over its positives; 0 where a row has none, or no negative."""
    m = len(z)
    self = torch.eye(m, dtype=torch.bool)
    positive = (labels[:, None] == labels) & ~self
    s = similarities(z, z, options.get("normalize", True))
    a = (s / pair_temperature(options.get("temperature", 0.1), positive)).to(z.dtype)
    log_share = log_softmax(a.masked_fill(self, -torch.inf), dim=1).masked_fill(self, 0.0)
    count = positive.sum(dim=1)
    each = -(log_share * positive).sum(dim=1) / count.clamp_min(1)
    each = torch.where((count > 0) & (count < m - 1), each, 0.0)
    reduction = options.get("reduction", "mean")
    if reduction == "none":
        return each
    whole = options.get("mean_over", "all") == "all"
    return each.sum() / (
        1 if reduction == "sum" else m if whole else (count > 0).sum().clamp_min(1)
    )


def views(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    """NT-Xent of (V, N, D)."""
    z, *learned = inputs
    options = options | ({"temperature": learned[0]} if learned else {})
    return of_labels(rows(z), torch.arange(z.shape[1]).repeat(len(z)), options)


def labelled_views(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    """SupCon of (N, V, D)."""
    z, *learned = inputs
    options = {"mean_over": "with_positive"} | options
    options |= {"temperature": learned[0]} if learned else {}
    labels = options["labels"].repeat_interleave(z.shape[1])
    found = of_labels(rows(z), labels, options)
    return found.view(z.shape[:2]) if found.dim() else found


def positives(inputs: tuple[Tensor, ...], options: Options) -> Tensor:
    """InfoNCE of q (N, D), k (N, P, D) and a queue (K, D): of each query the mean over its
    positives, of which each stands alone beside the queue."""
    q, k, negatives, *learned = inputs
    options = options | ({"temperature": learned[0]} if learned else {})
    valid = options.get("negatives_valid", torch.ones(len(negatives), dtype=torch.bool))
    normalize = options.get("normalize", True)
    away = similarities(q, negatives[valid], normalize)
    terms = []
    for p in range(k.shape[1]):
        near = similarities(q, k[:, p], normalize).diagonal()[:, None]
        s = torch.cat([near, away], dim=1)
        positive = (torch.arange(s.shape[1]) == 0).expand(s.shape)
        tau = pair_temperature(options.get("temperature", 0.1), positive)
        terms.append(-log_softmax((s / tau).to(q.dtype), dim=1)[:, 0])
    each = torch.stack(terms).mean(dim=0)
    each = each if valid.any() else each * 0
    reduction = options.get("reduction", "mean")
    return each if reduction == "none" else getattr(each, reduction)()
