"""Losses across processes in float32, by the rule for one process."""

from functools import cache
from typing import Any

import pytest
import torch
from checks import accept, together
from distributed.ranks import batch, in_processes
from distributed.test_losses import SIZES, cases, gradients, rows_of, value_and_gradients
from torch import distributed as dist

import tsssl_fast
from tsssl_fast.ops.contrastive import spec

COLUMNS = (6, 33, 70)  # of the draws


def work(rank: int, world: int) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    groups = {n: "world" if n == world else dist.new_group(list(range(n))) for n in SIZES}
    for count in sorted(SIZES, reverse=True):
        for columns in COLUMNS if rank < count else ():
            z = [x.float() for x in batch(SIZES[count], rank, columns=columns)]
            for name, loss in cases(process_group=groups[count]).items():
                found[count, name, columns] = value_and_gradients(loss, *z, rows_of(count, rank))
    return found


@cache
def results() -> list[Any]:
    return in_processes(4, work)


@pytest.mark.parametrize("world", sorted(SIZES))
@pytest.mark.parametrize("name", sorted(cases()))
def test_as_exact_as_one_process_in_plain_torch(name: str, world: int) -> None:
    draws = []
    rows = torch.arange(sum(SIZES[world]))
    for columns in COLUMNS:
        z = [x.float() for x in batch((len(rows),), 0, columns=columns)]
        truth = value_and_gradients(cases()[name], *(x.double() for x in z), rows)
        with tsssl_fast.use_backend("reference"):
            plain = value_and_gradients(cases()[name], *z, rows)
        ranks = [result[world, name, columns] for result in results()[:world]]
        draws.append(list(zip([ranks[0][0], *gradients(ranks)], truth, plain, strict=True)))
    for i, output in enumerate(zip(*draws, strict=True)):
        if name == "learned keys" and i == 3:  # the scale of normalised keys: 0 in mathematics
            assert all(found.abs() < 1e-6 for found, *_ in output)
            continue
        accept(f"{name}, {i}", together(output) if i in (0, 3) else output, spec.ERROR_FACTOR)
