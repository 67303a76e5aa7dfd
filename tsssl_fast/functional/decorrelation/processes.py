"""Views of the rows that several processes have together."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tsssl_fast.common import collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.decorrelation.arguments import check_views


def views_of_all(
    function: str,
    views: tuple[Tensor, ...],
    process_group: Group,
    ddp: bool,
    options: Mapping[str, object],
) -> tuple[Tensor, ...]:
    """Every view with the rows of all processes, in the order of ranks, for a loss that each of
    them computes. Batches may be uneven or empty.

    options: of the loss `function`, the same on every process.
    """

    def rows() -> Tensor:
        return torch.cat(check_views(views, least=0))

    group, count = collectives.group_of(process_group), len(views)
    alike = (function, count, ddp, *sorted(options.items()))
    x, sizes = collectives.agree(rows, group, alike)
    if sum(sizes) < 2 * count:
        raise ValueError(
            f"z1: {sum(sizes) // count} rows on all processes; accepted: 2 or more "
            "(the statistics of one row are undefined)"
        )
    parts = [
        part.reshape(count, len(part) // count, part.shape[1])
        for part in collectives.gather_for_own(x, sizes, group, ddp=ddp)
    ]
    return torch.cat(parts, dim=1).unbind()
