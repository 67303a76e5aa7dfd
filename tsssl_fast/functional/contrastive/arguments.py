"""Argument checks of the contrastive functions."""

import math
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive.problem import (
    DENOMINATORS,
    MEAN_OVER,
    POSITIVES,
    PairTemperature,
    Temperature,
)
from tsssl_fast.ops.contrastive.rules import GROUP_RULES


def check_operands(q: Tensor, k: Tensor | None, least: int = 1, *, name: str = "k") -> None:
    """Embeddings of one space; name: the caller's argument for k."""
    checks.matrix("q", q, least)
    if k is not None:
        checks.matrix(name, k, least)
        _same_space(name, k, q)


def in_one_dtype(q: Tensor, *others: Tensor | None) -> tuple[Any, ...]:
    """q and the other embeddings, as checks.promoted says; None for None."""
    for x in others:
        if isinstance(x, Tensor) and x.dtype != q.dtype:
            return checks.promoted(q, *others)
    return q, *others


def _same_space(name: str, x: Tensor, q: Tensor) -> None:
    """The device and last dimension of q."""
    if x.device != q.device:
        raise ValueError(f"{name}: device {x.device}; accepted: {q.device} as q")
    if x.shape[-1] != q.shape[-1]:
        raise ValueError(f"{name}: {x.shape[-1]} columns; accepted: {q.shape[-1]} as q")


def _shaped(name: str, x: Tensor, shape: tuple[int, ...], q: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: {type(x).__name__}; accepted: torch.Tensor")
    if tuple(x.shape) != shape:
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: {shape}")
    if x.device != q.device:
        raise ValueError(f"{name}: device {x.device}; accepted: {q.device} as q")


def labelled_rows(
    z: Tensor, labels: Tensor, temperature: Temperature, least: int = 1
) -> tuple[Tensor, Tensor, Temperature]:
    """Checked: (N, V, D), (N,) and what (N, V) temperatures there are as N V rows; (M, D), (M,) as
    they are. least: N."""
    if not (isinstance(z, Tensor) and z.dim() == 3):
        checks.matrix("z", z, least)
        check_labels("labels", labels, z)
        return z, labels, temperature
    checks.floating("z", z)
    n, views, dim = z.shape
    if n < least or not (views and dim):
        shape = tuple(z.shape)
        raise ValueError(f"z: shape {shape}; accepted: (N, V, D) with N >= {least}, V, D >= 1")
    check_labels("labels", labels, z)
    if isinstance(temperature, Tensor) and temperature.dim():
        _shaped("temperature", temperature, (n, views), z)
        temperature = temperature.flatten()
    return z.flatten(0, 1), labels.repeat_interleave(views), temperature


def a_row_for_each_positive(
    q: Tensor, k: Tensor, temperature: Temperature
) -> tuple[Tensor, Tensor, Temperature]:
    """Checked: (N, D) and (N, P, D) as N P pairs, with what (N,) temperatures there are; others as
    they are."""
    if not (isinstance(k, Tensor) and k.dim() == 3):
        return q, k, temperature
    checks.matrix("q", q, least=0)
    checks.floating("k", k)
    if k.shape[0] != len(q) or k.shape[2] != q.shape[1] or not k.shape[1]:
        accepted = f"({len(q)}, P, {q.shape[1]}) with P >= 1"
        raise ValueError(f"k: shape {tuple(k.shape)}; accepted: {accepted}")
    count = k.shape[1]
    if isinstance(temperature, Tensor) and temperature.dim():
        check_temperature(temperature, q)
        temperature = temperature.repeat_interleave(count)
    return q.repeat_interleave(count, dim=0), k.flatten(0, 1), temperature


def check_temperature(temperature: Temperature, q: Tensor) -> None:
    if isinstance(temperature, PairTemperature):
        check_temperature_type("temperature", temperature)
    elif isinstance(temperature, Tensor) and temperature.dim() == 1:
        checks.floating("temperature", temperature)
        _shaped("temperature", temperature, (len(q),), q)
        checks.positive_values("temperature", temperature)
    else:
        check_temperature_value("temperature", temperature)


def check_temperature_value(name: str, value: float | Tensor) -> None:
    """A number > 0, or a 0-d floating tensor, whose value is looked at where that costs nothing."""
    if not isinstance(value, Tensor):
        checks.positive(name, value)
        return
    checks.floating(name, value)
    if value.dim():
        raise ValueError(f"{name}: shape {tuple(value.shape)}; accepted: a 0-d tensor")
    checks.positive_values(name, value)


def check_rows(
    q: Tensor,
    k: Tensor | None,
    q_ids: Tensor | None,
    k_ids: Tensor | None,
    q_groups: Tensor | None,
    k_groups: Tensor | None,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
) -> None:
    """Arrays with one entry per row: integers for ids and groups, bool for flags."""
    sides = (("q", q, q_ids, q_groups, q_valid), ("k", k, k_ids, k_groups, k_valid))
    for side, z, ids, group, valid in sides:
        for kind, x in (("ids", ids), ("groups", group), ("valid", valid)):
            name = f"{side}_{kind}"
            if x is None:
                continue
            if z is None:
                raise ValueError(f"{name}: given without k; accepted: None for one set")
            _shaped(name, x, (len(z),), q)
            if kind == "valid":
                _flags(name, x)
            else:
                _integers(name, x)
    if k is not None:
        for kind, a, b in (("ids", q_ids, k_ids), ("groups", q_groups, k_groups)):
            if (a is None) != (b is None):
                missing = f"k_{kind}" if b is None else f"q_{kind}"
                raise ValueError(f"{missing}: None; accepted: integers, as its counterpart")


def _integers(name: str, x: Tensor) -> None:
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{name}: dtype {x.dtype}; accepted: an integer dtype")


def _flags(name: str, x: Tensor) -> None:
    if x.dtype != torch.bool:
        raise TypeError(f"{name}: dtype {x.dtype}; accepted: torch.bool")


def check_pairs(
    q: Tensor,
    k: Tensor | None,
    *,
    pair_mask: Tensor | None,
    pair_weight: Tensor | None,
    targets: Tensor | None,
    query_keys: Tensor | None = None,
) -> None:
    """(M, P) arrays; targets may have columns for the keys of each query's own, too."""
    shape = (len(q), len(q if k is None else k))
    if pair_mask is not None:
        _shaped("pair_mask", pair_mask, shape, q)
        _flags("pair_mask", pair_mask)
    for name, x in (("pair_weight", pair_weight), ("targets", targets)):
        if x is None:
            continue
        wide = (len(q), shape[1] + (0 if query_keys is None else query_keys.shape[1]))
        extended = name == "targets" and x.shape == wide
        _shaped(name, x, wide if extended else shape, q)
        if extended and wide != shape and x.layout != torch.strided:
            accepted = "dense, with columns of query_keys"
            raise ValueError(f"targets: layout {x.layout}; accepted: {accepted}")
        if not x.is_floating_point():
            raise TypeError(f"{name}: dtype {x.dtype}; accepted: a floating-point dtype")
        if x.layout not in (torch.strided, torch.sparse_csr):
            raise ValueError(f"{name}: layout {x.layout}; accepted: dense or torch.sparse_csr")
        if x.requires_grad and name == "pair_weight":
            raise ValueError("pair_weight: requires grad; accepted: a constant (detach it)")


def check_keys(
    q: Tensor,
    negatives: Tensor | None,
    negatives_valid: Tensor | None,
    query_keys: Tensor | None,
    query_keys_valid: Tensor | None,
) -> None:
    if negatives is not None:
        checks.matrix("negatives", negatives)
        _same_space("negatives", negatives, q)
    if negatives_valid is not None:
        if negatives is None:
            raise ValueError("negatives_valid: given without negatives; accepted: None")
        _shaped("negatives_valid", negatives_valid, (len(negatives),), q)
        _flags("negatives_valid", negatives_valid)
    if query_keys is not None:
        checks.floating("query_keys", query_keys)
        if query_keys.dim() != 3 or len(query_keys) != len(q):
            shape = tuple(query_keys.shape)
            raise ValueError(f"query_keys: shape {shape}; accepted: ({len(q)}, S, D)")
        _same_space("query_keys", query_keys, q)
    if query_keys_valid is not None:
        if query_keys is None:
            raise ValueError("query_keys_valid: given without query_keys; accepted: None")
        _shaped("query_keys_valid", query_keys_valid, tuple(query_keys.shape[:2]), q)
        _flags("query_keys_valid", query_keys_valid)


def check_one_direction(negatives: Tensor | None, symmetric: bool) -> None:
    """Further keys are of queries alone."""
    if negatives is not None and symmetric:
        raise ValueError("symmetric: True with negatives; accepted: False")


def check_row_weight(name: str, weight: Tensor | None, rows: int, q: Tensor) -> None:
    if weight is not None:
        checks.floating(name, weight)
        _shaped(name, weight, (rows,), q)


def check_shape(name: str, x: Tensor, shape: tuple[int, ...], q: Tensor) -> None:
    """A tensor of this shape on q's device."""
    _shaped(name, x, shape, q)


def check_sets(
    name: str,
    x: Tensor,
    shape: tuple[int | None, ...],
    q: Tensor,
    least: int = 1,
    like: str = "q",
) -> None:
    """A floating tensor on q's device, of a shape in which None is any number >= least. like: what
    the caller calls q."""
    checks.floating(name, x)
    fits = x.dim() == len(shape) and all(
        given >= least if size is None else given == size
        for given, size in zip(x.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(f">= {least}" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: ({wanted})")
    if x.device != q.device:
        raise ValueError(f"{name}: device {x.device}; accepted: {q.device} as {like}")


def check_labels(name: str, labels: Tensor, z: Tensor) -> None:
    """(M,) integers."""
    if labels is None:
        raise TypeError(f"{name}: None; accepted: (M,) integers")
    _shaped(name, labels, (len(z),), z)
    _integers(name, labels)


def check_flags(name: str, valid: Tensor | None, z: Tensor) -> None:
    """(M,) bool, or None."""
    if valid is not None:
        _shaped(name, valid, (len(z),), z)
        _flags(name, valid)


def number(name: str, value: float | Tensor, q: Tensor) -> Tensor:
    """A finite number or a 0-d floating tensor, as a 0-d tensor; a tensor's value is not read."""
    if isinstance(value, Tensor):
        checks.floating(name, value)
        _shaped(name, value, (), q)
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: a number or a 0-d tensor")
    if not -math.inf < value < math.inf:
        raise ValueError(f"{name}: {value}; accepted: a finite number")
    return torch.full((), value, dtype=widest(q), device=q.device)


def check_settings(
    positives: str,
    denominator: str,
    groups: str,
    reduction: str,
    mean_over: str,
    hardness: float,
    debias: float,
    top_k: int,
) -> None:
    for name, value, accepted in (
        ("positives", positives, POSITIVES),
        ("denominator", denominator, DENOMINATORS),
        ("groups", groups, GROUP_RULES),
        ("reduction", reduction, checks.REDUCTIONS),
        ("mean_over", mean_over, MEAN_OVER),
    ):
        if value not in accepted:
            checks.choice(name, value, accepted)
    checks.at_least("hardness", hardness, 0.0)
    checks.fraction("debias", debias)
    checks.at_least("top_k", top_k, 1)


def check_temperature_type(name: str, temperature: Temperature) -> None:
    """Any temperature whose rows are not known yet."""
    if isinstance(temperature, PairTemperature):
        for field in ("positive", "negative", "same_group"):
            value = getattr(temperature, field)
            if value is not None:
                check_temperature_value(f"{name}.{field}", value)
    elif isinstance(temperature, Tensor) and temperature.dim():
        checks.floating(name, temperature)
    else:
        check_temperature_value(name, temperature)
