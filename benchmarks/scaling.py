"""How time grows: one operator along the batch N, the width D, the series' length T, the threads.

A line of the plots is a list of cases of the registry's makers, each with this package and the best
known plain form; along the threads the same case runs on 1 up to as many as the machine has.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from measure import measure
from registry import Case
from suite import augment, decorrelation, nt_xent

AXES = {"N": "rows of a view", "D": "columns", "T": "steps of a series", "threads": "threads"}


@dataclass(frozen=True)
class Line:
    """make: the case at a place on the axis."""

    family: str
    axis: str
    title: str
    places: tuple[int, ...]
    make: Callable[[int], Case]
    providers: tuple[str, ...] = ("cpp", "eager")


def threads() -> tuple[int, ...]:
    """1, 2, 4, ... and all."""
    most = os.cpu_count() or 1
    return tuple(sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most}))


def lines(quick: bool) -> list[Line]:
    def up_to(most: int, *places: int) -> tuple[int, ...]:
        return tuple(place for place in places if not quick or place <= most)

    def vicreg(n: int, d: int) -> Case:
        return decorrelation.make(n, d, {})

    def views(t: int) -> Case:
        return augment.pipeline((256, 9, t), 0.5)

    rows = up_to(512, 8, 32, 128, 512, 2048)
    columns = up_to(512, 32, 128, 512, 2048)
    steps = up_to(512, 32, 128, 512, 2048)
    gram, largest = ("cpp", "eager", "gram"), nt_xent.LARGE[0]
    return [
        Line("contrastive", "N", "NT-Xent, D = 128", rows, lambda n: nt_xent.make(n, 128)),
        Line("contrastive", "D", "NT-Xent, N = 512", columns, lambda d: nt_xent.make(512, d)),
        Line("decorrelation", "N", "VICReg, D = 512", rows, lambda n: vicreg(n, 512), gram),
        Line("decorrelation", "D", "VICReg, N = 256", columns, lambda d: vicreg(256, d), gram),
        Line("augment", "T", "two views, 256 x 9 x T", steps, views),
        Line("contrastive", "threads", "NT-Xent, 1024 x 128", threads(), lambda _: largest),
        Line("augment", "threads", "two views, 256 x 9 x 512", threads(), lambda _: views(512)),
    ]


def scale(family: str, quick: bool, rounds: int) -> Iterator[dict[str, Any]]:
    """The rows of every line of the family, each with its line's axis, title and place."""
    before = torch.get_num_threads()
    for line in lines(quick):
        if family not in ("all", line.family):
            continue
        for place in line.places:
            if line.axis == "threads":
                torch.set_num_threads(place)
            try:
                rows = measure(line.make(place), list(line.providers), rounds, False, False)
            finally:
                torch.set_num_threads(before)
            for row in rows:
                yield row | {"axis": line.axis, "line": line.title, "place": place}
