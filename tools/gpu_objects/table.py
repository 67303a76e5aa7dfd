"""The table of compiled kernels."""

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from gpu_objects.compiled import Facts, facts
from gpu_objects.specialisation import Specialisation, all_of
from gpu_objects.targets import TARGETS

HEADER = (
    f"{'kernel':<52} {'target':<7} {'regs':>4} {'spill':>5} {'shared':>7} {'occup.':>6} "
    f"{'tensor core':<14} loads (bytes x number)"
)


Case = tuple[str, str]  # a specialisation's name and a target's


def cases(
    targets: Sequence[str] = tuple(TARGETS), match: str = "", aligned: bool = False
) -> list[Case]:
    """Every specialisation, or its `aligned` form, with each of these targets that launches it."""
    return [
        (s.name, target)
        for s in (f.aligned() if aligned else f for f in all_of())
        if match in s.name
        for target in targets
        if target in s.targets
    ]


def walk(chosen: Sequence[Case], processes: int | None = None) -> Iterator[Facts]:
    """Facts of the cases, in their order; compiled by as many processes as there are processors."""
    workers = min(processes or os.cpu_count() or 1, len(chosen))
    if workers <= 1:
        yield from map(_facts, chosen)
        return
    # Not forked: torch's threads would be missing in the children.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        yield from pool.map(_facts, chosen)


def _facts(case: Case) -> Facts:
    return facts(_by_name()[case], TARGETS[case[1]])


@functools.lru_cache(maxsize=1)
def _by_name() -> dict[Case, Specialisation]:
    forms = [form for s in all_of() for form in (s, s.aligned())]
    return {(s.name, target): s for s in forms for target in s.targets}


def row(found: Facts) -> str:
    cores = " ".join(f"{n} {name}" for name, n in found.tensor_core.items())
    loads = " ".join(f"{size}x{n}" for size, n in found.loads.items())
    return (
        f"{found.name:<52} {found.target.name:<7} {found.registers:>4} "
        f"{found.spills:>5} {found.shared:>7} {found.occupancy:>6.0%} "
        f"{cores or ('-' if found.has_dot else ''):<14} {loads}"
        + "".join(f"  DEFECT: {defect}" for defect in found.defects())
    )
