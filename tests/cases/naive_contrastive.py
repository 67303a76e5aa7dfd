"""The engine's losses written out as the papers do: loops over queries in float64, one exp at a
time.

Nothing here is shared with the package but that argument's type; `loss` takes the arguments of
functional.contrastive_loss.
"""

import math
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.functional import PairTemperature


def _unit(z: Tensor) -> Tensor:
    norm = z.norm(dim=-1, keepdim=True)
    return torch.where(norm > 1e-12, z / norm.clamp_min(1e-12), torch.zeros_like(z))


def _tau(temperature: Any, i: int, positive: bool, same_group: bool) -> Any:
    if isinstance(temperature, PairTemperature):
        if positive:
            return temperature.positive
        if same_group and temperature.same_group is not None:
            return temperature.same_group
        return temperature.negative
    return temperature[i] if isinstance(temperature, Tensor) and temperature.dim() else temperature


def _group_counts(rule: str | None, same: bool) -> bool:
    return rule is None or same == (rule == "only_same")


def pairs(
    q: Tensor, k: Tensor | None, i: int, o: dict[str, Any]
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """(logit, weight) of row i's positives and of its negatives."""
    keys = q if k is None else k
    normalize = o.get("normalize", True)
    u, v = (_unit(q), _unit(keys)) if normalize else (q, keys)
    temperature = o.get("temperature", 0.1)
    q_ids, q_groups, q_valid = o.get("q_ids"), o.get("q_groups"), o.get("q_valid")
    own = k is None
    k_ids, k_groups, k_valid = (
        (q_ids, q_groups, q_valid) if own else (o.get(f"k_{x}") for x in ("ids", "groups", "valid"))
    )
    rule = o.get("groups", "exclude_same") if q_groups is not None else None
    if rule == "exclude_same" and isinstance(temperature, PairTemperature):
        rule = o.get("groups")
    weight = o.get("pair_weight")
    weight = weight.to_dense() if weight is not None else None
    found: tuple[list[Any], list[Any]] = ([], [])
    for j in range(len(keys)):
        if own and i == j:
            continue
        if q_valid is not None and not (q_valid[i]):
            continue
        if k_valid is not None and not k_valid[j]:
            continue
        if o.get("pair_mask") is not None and not o["pair_mask"][i, j]:
            continue
        positive = q_ids is not None and bool(q_ids[i] == k_ids[j])
        same = q_groups is not None and bool(q_groups[i] == k_groups[j])
        if not positive and not _group_counts(rule, same):
            continue
        a = (u[i] * v[j]).sum() / _tau(temperature, i, positive, same)
        w = torch.ones_like(a) if weight is None else weight[i, j]
        found[0 if positive else 1].append((a, w))
    for extra, valid in (("negatives", "negatives_valid"), ("query_keys", "query_keys_valid")):
        if o.get(extra) is None:
            continue
        rows = o[extra] if extra == "negatives" else o[extra][i]
        flags = o.get(valid)
        if flags is not None and extra == "query_keys":
            flags = flags[i]
        for j, x in enumerate(rows):
            if flags is None or flags[j]:
                x = _unit(x) if normalize else x
                a = (u[i] * x).sum() / _tau(temperature, i, False, False)
                found[1].append((a, torch.ones_like(a)))
    return found


def _sum(found: list[tuple[Tensor, Tensor]]) -> Any:
    return sum((w * a.exp() for a, w in found), torch.zeros((), dtype=torch.float64))


def _negatives(found: list[tuple[Tensor, Tensor]], positives: Any, o: dict[str, Any]) -> Tensor:
    """The negatives' sum, reweighted where asked (Robinson et al.; Chuang et al.)."""
    plain = _sum(found)
    b, t = o.get("hardness", 0.0), o.get("debias", 0.0)
    if not b and not t:
        return plain
    a = torch.stack([a for a, _ in found])
    weight = (b * a).exp()
    total = (a.exp() * weight).sum() / weight.mean()
    if t:
        mean = torch.stack([a.exp() for a, _ in positives]).mean()
        total = (total - t * len(found) * mean) / (1 - t)
        floor = len(found) * math.exp(-1 / float(o.get("temperature", 0.1)))
        total = total.clamp_min(floor)
    return total


def row(q: Tensor, k: Tensor | None, i: int, o: dict[str, Any]) -> Tensor:
    positives, negatives = pairs(q, k, i, o)
    zero = (q * 0).nan_to_num().sum()
    if o.get("targets") is not None:
        if not negatives:
            return zero
        t = o["targets"].to_dense()[i]
        columns = [j for j in range(len(t)) if k is not None or j != i]
        lse = torch.stack([a for a, _ in negatives]).logsumexp(0)
        return zero + sum(t[j] * (lse - a) for j, (a, _) in zip(columns, negatives, strict=True))
    if not positives or not negatives:
        return zero
    below = _negatives(negatives, positives, o)
    kind, denominator = o.get("positives", "mean_log"), o.get("denominator", "all")
    above = _sum(positives)
    if kind == "log_sum":
        return ((above if denominator == "all" else 0) + below).log() - above.log()
    total = sum(w for _, w in positives)
    out = zero
    for a, w in positives:
        under = {"all": above + below, "negatives": below, "own_positive": a.exp() + below}
        out = out + w / total * (under[denominator].log() - a)
    return out


def loss(q: Tensor, k: Tensor | None = None, **o: Any) -> Tensor:
    """Losses of all rows (queries, then keys for symmetric)."""
    rows = [row(q, k, i, o) for i in range(len(q))]
    if o.get("symmetric"):
        assert k is not None
        names = ("ids", "groups", "valid")
        swapped = {f"q_{n}": o.get(f"k_{n}") for n in names} | {
            f"k_{n}": o.get(f"q_{n}") for n in names
        }
        swapped |= {n: None if o.get(n) is None else o[n].T for n in ("pair_mask", "pair_weight")}
        rest = {n: x for n, x in o.items() if n not in swapped and n != "symmetric"}
        rows += [row(k, q, j, {**rest, **swapped}) for j in range(len(k))]
    out = torch.stack(rows)
    return out if o.get("query_weight") is None else out * o["query_weight"]
