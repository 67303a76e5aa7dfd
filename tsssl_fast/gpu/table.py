"""The table of compiled kernels."""

from collections.abc import Iterator, Sequence

from tsssl_fast.gpu.compiled import Facts, facts
from tsssl_fast.gpu.specialisation import all_of
from tsssl_fast.gpu.targets import TARGETS

HEADER = (
    f"{'kernel':<52} {'target':<7} {'regs':>4} {'spill':>5} {'shared':>7} {'occup.':>6} "
    f"{'tensor core':<14} loads (bytes x number)"
)


def walk(targets: Sequence[str], match: str = "") -> Iterator[Facts]:
    """Facts of every specialisation on each of these targets that launches it."""
    for specialisation in all_of():
        if match in specialisation.name:
            for name in targets:
                if name in specialisation.targets:
                    yield facts(specialisation, TARGETS[name])


def row(found: Facts) -> str:
    cores = " ".join(f"{n} {name}" for name, n in found.tensor_core.items())
    loads = " ".join(f"{size}x{n}" for size, n in found.loads.items())
    return (
        f"{found.specialisation.name:<52} {found.target.name:<7} {found.registers:>4} "
        f"{found.spills:>5} {found.shared:>7} {found.occupancy:>6.0%} "
        f"{cores or ('-' if found.has_dot else ''):<14} {loads}"
        + "".join(f"  DEFECT: {defect}" for defect in found.defects())
    )
