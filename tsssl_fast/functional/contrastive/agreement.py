"""What a loss across processes is asked for, and its result from this process's rows."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks, collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import PairTemperature, Problem, Temperature
from tsssl_fast.functional.contrastive.row_losses import Rows, RowStatistics
from tsssl_fast.functional.contrastive.solve import Loss, backend_name
from tsssl_fast.functional.contrastive.statistics import TOP_K, ContrastiveStats, contrastive_stats
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN


class Asked(NamedTuple):
    """What every loss is asked for beside its rows; function: its name."""

    function: str
    process_group: Group
    ddp: bool
    temperature: Temperature
    normalize: bool
    reduction: str
    return_stats: bool
    precision: str | None
    backend: str | None

    def agreed(self, rows: Callable[[], Tensor], *more: object) -> tuple[Group, Tensor, list[int]]:
        """The group, this process's rows and the numbers of all; an error on every process where
        one's arguments are wrong, or differ in these options or in `more`."""
        group = collectives.group_of(self.process_group)
        tau = self.temperature
        taus: tuple[object, ...] = (tau,)
        if isinstance(tau, PairTemperature):
            taus = (tau.positive, tau.negative, tau.same_group)
        options = (
            *taus,
            self.normalize,
            self.reduction,
            self.return_stats,
            self.precision,
            self.ddp,
        )
        options = (*options, *more)
        x, sizes = collectives.agree(rows, group, (self.function, *map(shown, options)))
        if not any(sizes):
            raise ValueError("process_group: no rows on any process; accepted: some on one")
        return group, x, sizes

    def check(self, views: dict[str, Tensor], rows: int) -> None:
        """Views alike, which may be empty; rows: of a temperature with one for each."""
        for name, z in views.items():
            checks.matrix(name, z, least=0)
        checks.alike(tuple(views), tuple(views.values()))
        tau = self.temperature
        if isinstance(tau, Tensor) and tau.dim() == 1 and tuple(tau.shape) != (rows,):
            accepted = f"({rows},)" if rows else "a number, a 0-d tensor or a PairTemperature"
            raise ValueError(f"temperature: shape {tuple(tau.shape)}; accepted: {accepted}")
        arguments.check_temperature_type("temperature", tau)
        precision_name(self.precision)
        backend_name(self.backend)
        checks.choice("reduction", self.reduction, checks.REDUCTIONS)

    def problem(self) -> Problem:
        rules = PLAIN._replace(normalize=self.normalize)
        products, name = precision_name(self.precision), backend_name(self.backend)
        wanted = TOP_K if self.return_stats else 0
        return Problem(rules, self.temperature, statistics=wanted, precision=products, backend=name)

    def result(
        self, loss: Tensor, found: Rows, count: int | Tensor, group: Group, blocks: int = 1
    ) -> Loss:
        """The loss of all rows, or for reduction "none" of these, and statistics of all.

        Args:
            loss, found: of this process's rows. count: of all that a mean is over.
            blocks: the rows are those of as many views, or sides, one behind the other.
        """
        if self.reduction == "none":
            loss = collectives.scaled(loss, group, ddp=self.ddp)
        else:
            share = loss.sum()
            share = share / count if self.reduction == "mean" else share
            loss = collectives.total_of_shares(share, group, ddp=self.ddp)
        if not self.return_stats:
            return loss
        return loss, stats_of_all(found, group, blocks, self.normalize)


@torch.no_grad()
def stats_of_all(found: Rows, group: Group, blocks: int, normalized: bool) -> ContrastiveStats:
    """The statistics of the rows of all processes, in the order that one process would have."""
    assert found.statistics is not None
    own = [found.negative, found.positive, *found.statistics]
    parts = collectives.gather_parts(torch.stack([x.to(own[0].dtype) for x in own], dim=1), group)
    by_block = zip(*(part.tensor_split(blocks) for part in parts), strict=True)
    every = torch.cat([x for block in by_block for x in block]).unbind(1)
    rows = Rows(every[0], every[1], every[1], statistics=RowStatistics(*every[2:]))
    return contrastive_stats(rows, TOP_K, normalized)


def shown(option: object) -> object:
    """What processes compare of an option: of a tensor, that it is one."""
    return "a tensor" if isinstance(option, Tensor) else option


def nothing(rows: Tensor, *numbers: Temperature | None) -> Tensor:
    """0, for a process without rows, whose backward takes part: the gradients of others' rows pass
    through it, and parameters get one of 0."""
    found = rows[:0].sum().to(torch.promote_types(rows.dtype, torch.float32))
    for x in numbers:
        if isinstance(x, PairTemperature):
            found = nothing(rows, x.positive, x.negative, x.same_group) + found
        if isinstance(x, Tensor):
            found = found + 0 * x.sum()
    return found


def no_rows(rows: Tensor, *numbers: Temperature | None) -> tuple[Tensor, Rows]:
    """The losses, (0,), and statistics of a process without rows, as :func:`nothing`."""
    loss = nothing(rows, *numbers).reshape(1)[:0]
    none = loss.detach()
    return loss, Rows(none, none, none, statistics=RowStatistics(*[none] * 6))
