"""The two directions of a problem as plain arrays: queries against keys, keys against queries."""

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.functional.contrastive.problem import PairTemperature, Problem
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference.pairs import unit


@dataclass(frozen=True)
class Side:
    """R rows against C columns, then against keys that are negatives only.

    rows, columns: (R, D), (C, D) in the arithmetic's dtype, unit rows where cosines are compared.
    weight, targets, mask: (R, C); the former two dense or CSR. row_tau, column_tau: (R,), (C,).
    keys: (K, D), own: (R, S, D), with flags; own_targets: (R, S).
    """

    rows: Tensor
    columns: Tensor
    row_id: Tensor | None
    column_id: Tensor | None
    row_group: Tensor | None
    column_group: Tensor | None
    row_valid: Tensor | None
    column_valid: Tensor | None
    mask: Tensor | None
    weight: Tensor | None
    targets: Tensor | None
    row_tau: Tensor | None = None
    column_tau: Tensor | None = None
    keys: Tensor | None = None
    keys_valid: Tensor | None = None
    own: Tensor | None = None
    own_valid: Tensor | None = None
    own_targets: Tensor | None = None

    @property
    def width(self) -> int:
        """Columns in all."""
        more = 0 if self.keys is None else len(self.keys)
        return len(self.columns) + more + (0 if self.own is None else self.own.shape[1])


def sides(q: Tensor, k: Tensor | None, problem: Problem) -> list[Side]:
    """The queries' side, and the keys' where the loss is symmetric: the same pairs, transposed.

    Extra keys have no part in the keys' own rows."""
    r, normalize = problem.rules, problem.rules.normalize
    u = embedded(q, r.q_valid, normalize)
    v = u if k is None else embedded(k, r.k_valid, normalize)
    tau = problem.query_temperature
    weight = r.weight if problem.sparse_weight is None else problem.sparse_weight
    own_valid = query_keys_valid(problem)
    queries = Side(
        *(u, v, r.q_id, r.k_id, r.q_group, r.k_group, r.q_valid, r.k_valid),
        *(r.mask, weight, problem.targets),
        row_tau=tau,
        keys=embedded_keys(problem.negatives, problem.negatives_valid, normalize),
        keys_valid=problem.negatives_valid,
        own=embedded_keys(problem.query_keys, own_valid, normalize),
        own_valid=own_valid,
        own_targets=problem.own_targets,
    )
    if not problem.rules.symmetric:
        return [queries]
    keys = Side(
        *(v, u, r.k_id, r.q_id, r.k_group, r.q_group, r.k_valid, r.q_valid),
        *(_transposed(r.mask), _transposed(weight), _transposed(problem.targets)),
        column_tau=tau,
    )
    return [queries, keys]


def query_keys_valid(problem: Problem) -> Tensor | None:
    """(M, S) flags; an invalid query's keys are invalid."""
    keys, queries, valid = problem.query_keys, problem.rules.q_valid, problem.query_keys_valid
    if keys is None or queries is None:
        return valid
    every = queries[:, None].expand(keys.shape[:2])
    return every if valid is None else every & valid


def embedded(z: Tensor, valid: Tensor | None, normalize: bool) -> Tensor:
    """(..., D) rows in the arithmetic's dtype, over their norm where asked; invalid ones 0."""
    z = z.to(spec.compute_dtype(z.dtype))
    if valid is not None:
        z = torch.where(valid[..., None], z, 0.0)  # whatever it holds
    if not normalize:
        return z
    if z.dim() == 2:
        return unit(z)[0]
    return unit(z.reshape(-1, z.shape[-1]))[0].reshape(z.shape)


def embedded_keys(z: Tensor | None, valid: Tensor | None, normalize: bool) -> Tensor | None:
    return None if z is None else embedded(z, valid, normalize)


def _transposed(x: Tensor | None) -> Tensor | None:
    if x is None or x.layout == torch.strided:
        return None if x is None else x.T
    transposed: Tensor = x.to_sparse(layout=torch.sparse_coo).t().coalesce().to_sparse_csr()
    return transposed


def rows_of(x: Tensor, first: int, last: int, dtype: torch.dtype) -> Tensor:
    """Rows [first, last) of a dense or CSR matrix, dense."""
    if x.layout == torch.strided:
        return x[first:last].to(dtype)
    # torch.func does not know sparse tensors, and this one is a constant.
    plain = torch._C._are_functorch_transforms_active()
    with torch._C._DisableFuncTorch() if plain else contextlib.nullcontext():
        return _dense(x, first, last, dtype)


def _dense(x: Tensor, first: int, last: int, dtype: torch.dtype) -> Tensor:
    crow = x.crow_indices()[first : last + 1]
    start, stop = int(crow[0]), int(crow[-1])
    at = torch.repeat_interleave(torch.arange(last - first, device=x.device), crow.diff())
    dense = torch.zeros((last - first, x.shape[1]), dtype=dtype, device=x.device)
    index = (at, x.col_indices()[start:stop])
    return dense.index_put(index, x.values()[start:stop].to(dtype))


def temperature_of_pairs(
    side: Side, problem: Problem, positive: Tensor, same: Tensor, first: int, last: int
) -> Tensor:
    """1 / tau of every pair of the block: 0-d, or broadcastable to it."""
    dtype, tau = side.rows.dtype, problem.temperature
    if side.row_tau is not None:
        return (1 / side.row_tau[first:last, None]).to(dtype)
    if side.column_tau is not None:
        return (1 / side.column_tau).to(dtype)
    if not isinstance(tau, PairTemperature):
        return _number(tau, side.rows)
    other = _number(tau.negative, side.rows)
    if tau.same_group is not None:
        other = torch.where(same, _number(tau.same_group, side.rows), other)
    return torch.where(positive, _number(tau.positive, side.rows), other)


def _number(tau: float | Tensor, like: Tensor) -> Tensor:
    if isinstance(tau, Tensor):
        return (1 / tau).to(like.dtype)
    return torch.full((), 1 / tau, dtype=like.dtype, device=like.device)
