"""Which bars of the CPU kernels does this processor meet? Ratios within one process.

    python benchmarks/cpu_bars.py [--cases "nt_xent bf16*,vicreg*"] [--rounds 9] [--json F]

One line a bar: this package's time, the best plain torch and its name, their ratio, the bar, and
`met`, `missed`, or `no such unit here` where the bar is of a unit that the processor lacks; what is
slow or the same without the unit is not timed there, and not counted. Exit status 1 where a bar is
missed. Nothing else may run beside it.
"""

import argparse
import fnmatch
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from registry import Inputs, Run
from run import machine
from suite import decorrelation, nt_xent
from suite.common import Loss, compiled_by_torch, run
from timing import Times, interleaved
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.backends import cpp as native

TEMPERATURE = nt_xent.TEMPERATURE
NO_UNIT = "no such unit here"


@dataclass
class Bar:
    """`at_least` times faster than the best of `plain`; or at most `units` of torch's product."""

    name: str
    ours: Callable[[], Run]
    plain: dict[str, Callable[[], Run]]
    at_least: float
    unit: bool = True  # of processors with AMX
    medium: bool = False  # under torch.set_float32_matmul_precision("medium")


@dataclass
class Result:
    name: str
    ours_ms: float
    best: str
    best_ms: float
    ratio: float
    at_least: float
    verdict: str


def has_unit() -> bool:
    return native.C is not None and native.C.isa() == "amx"


def rows(n: int, dim: int, dtype: torch.dtype) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, dim, generator=generator)
    return z.to(dtype), (z + 0.5 * torch.randn(n, dim, generator=generator)).to(dtype)


def own(precision: str | None = None) -> Callable[..., Tensor]:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return functional.nt_xent_loss(a, b, temperature=TEMPERATURE, precision=precision)

    return loss


def on_vectors(loss: Callable[..., Tensor], z: Inputs) -> Run:
    """The kernels without a tensor unit, which are those of the releases before it."""
    inner = run(loss, z)
    module = native.module()

    def once() -> tuple[Tensor, ...]:
        module.set_isa("avx512")
        try:
            return inner()
        finally:
            module.set_isa("")

    return once


def plain_nt_xent(z: Inputs) -> dict[str, Callable[[], Run]]:
    return {
        "eager": lambda: run(nt_xent.eager, z),
        "compiled": lambda: run(compiled_by_torch(nt_xent.eager), z),
    }


def plain_vicreg(z: Inputs) -> dict[str, Callable[[], Run]]:
    form = decorrelation.gram if z[0].shape[0] < z[0].shape[1] else decorrelation.direct
    return {
        "direct": lambda: run(decorrelation.direct, z),
        "gram": lambda: run(decorrelation.gram, z),
        "compiled": lambda: run(compiled_by_torch(form), z),
    }


def queue(q: Tensor, k: Tensor, negatives: Tensor) -> Tensor:
    return functional.info_nce_loss(q, k, negatives=negatives, temperature=TEMPERATURE)


def plain_queue(q: Tensor, k: Tensor, negatives: Tensor) -> Tensor:
    q, k = torch.nn.functional.normalize(q), torch.nn.functional.normalize(k)
    away = q @ torch.nn.functional.normalize(negatives).T
    logits = torch.cat([(q * k).sum(dim=1, keepdim=True), away], dim=1) / TEMPERATURE
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def bars() -> Iterator[Bar]:
    bf16, f32 = torch.bfloat16, torch.float32
    for (n, dim), least in {
        (256, 128): 1.5,
        (1024, 128): 3.0,
        (4096, 128): 9.0,
        (1024, 512): 2.5,
        (4096, 512): 2.5,
    }.items():
        z = rows(n, dim, bf16)
        name = f"nt_xent bf16 inputs {n}x{dim}"
        yield Bar(name, lambda z=z: run(own(), z), plain_nt_xent(z), least)
    half, whole = rows(4096, 128, bf16), rows(4096, 128, f32)
    yield Bar(
        "nt_xent bf16 inputs 4096x128, our float32 on vectors",
        lambda: run(own(), half),
        {"vectors": lambda: on_vectors(own(), whole)},
        4.0,
    )
    for n, dim in ((4096, 128), (1024, 512)):
        z = rows(n, dim, f32)
        for precision, least in (("ieee", 1.6), ("bf16x3", 2.5)):
            yield Bar(
                f"nt_xent float32 {precision} {n}x{dim}, ours on vectors",
                lambda z=z, precision=precision: run(own(precision), z),
                {"vectors": lambda z=z: on_vectors(own("ieee"), z)},
                least,
            )
    for n, dim in ((1024, 512), (4096, 512)):
        z = rows(n, dim, f32)
        name = f"nt_xent float32 medium {n}x{dim}"
        yield Bar(name, lambda z=z: run(own(), z), plain_nt_xent(z), 2.0, medium=True)
    for n, dim in ((256, 2048), (256, 8192), (1024, 2048), (2048, 2048)):
        views = decorrelation.views(n, dim)
        halves = tuple(v.to(bf16) for v in views)
        name = f"{n}x{dim}"
        yield Bar(
            f"vicreg highest {name}",
            lambda z=views: run(decorrelation.ours, z),
            plain_vicreg(views),
            2.0,
        )
        yield Bar(
            f"vicreg medium {name}",
            *(lambda z=views: run(decorrelation.ours, z), plain_vicreg(views), 2.0),
            medium=True,
        )
        yield Bar(
            f"vicreg bf16 inputs {name}",
            lambda z=halves: run(decorrelation.ours, z),
            plain_vicreg(halves),
            2.0,
        )
    z, queued = rows(256, 128, bf16), rows(65536, 128, bf16)[0]
    for name, inputs, least in (("queue", z, 5.0), ("keys with gradient", (*z, queued), 1.0)):
        beside = () if len(inputs) == 3 else (queued,)

        def case(loss: Loss, inputs: Inputs = inputs, beside: Inputs = beside) -> Run:
            return run(lambda *leaves: loss(*leaves, *beside), inputs)

        yield Bar(
            f"{name} bf16 inputs 256x128x65536",
            lambda case=case: case(queue),
            {
                "eager": lambda case=case: case(plain_queue),
                "compiled": lambda case=case: case(compiled_by_torch(plain_queue)),
            },
            least,
        )


def measure(bar: Bar, rounds: int) -> Result:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if bar.medium else "highest")
    try:
        candidates = {name: build() for name, build in bar.plain.items()}
        times: dict[str, Times] = interleaved({"ours": bar.ours(), **candidates}, rounds)
    finally:
        torch.set_float32_matmul_precision(before)
        torch.compiler.reset()
    best = min(candidates, key=lambda name: times[name].median)
    ratio = times[best].median / times["ours"].median
    verdict = "met" if ratio >= bar.at_least else "missed"
    if bar.unit and not has_unit():
        verdict = NO_UNIT
    own_ms, best_ms = 1e3 * times["ours"].median, 1e3 * times[best].median
    return Result(bar.name, own_ms, best, best_ms, ratio, bar.at_least, verdict)


def units(rounds: int) -> Iterator[Result]:
    """Float32 NT-Xent in units of 2 (2N)^2 D flops at the rate of torch's 2048^3 product."""
    kinds = {"avx512": (1.5, 2.3), "avx2": (1.92, 2.3), "amx": (2.05, 2.3)}
    isa = native.module().isa()
    side = torch.randn(2048, 2048)
    for (n, dim), place in {(4096, 128): 0, (1024, 128): 1}.items():
        z = rows(n, dim, torch.float32)
        times = interleaved(
            {"ours": run(own("ieee"), z), "product": lambda: (side @ side,)}, rounds
        )
        rate = 2 * 2048.0**3 / times["product"].median
        floor = 2 * (2.0 * n) ** 2 * dim / rate
        ratio = times["ours"].median / floor
        most = kinds.get(isa, (float("inf"), float("inf")))[place]
        verdict = "met" if ratio <= most else "missed"
        name = f"nt_xent float32 {n}x{dim}, units (at most)"
        yield Result(name, 1e3 * times["ours"].median, "floor", 1e3 * floor, ratio, most, verdict)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="*", help="globs, comma-separated")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if native.C is None:
        sys.exit(f"the extension did not load: {native.ERROR}")
    patterns = [p.strip() for p in arguments.cases.split(",")]

    def chosen(name: str) -> bool:
        return any(fnmatch.fnmatch(name, p) for p in patterns)

    print(machine(), f"instruction set {native.C.isa()}, {torch.get_num_threads()} threads")
    results = []
    for bar in bars():
        if not chosen(bar.name):
            continue
        # torch emulates products of bfloat16: 4096 x 128 takes 17 s on AMD with AVX2. Without the
        # unit all of ours are on vectors.
        costly = "bf16 inputs" in bar.name or "vectors" in bar.plain
        if costly and bar.unit and not has_unit():
            print(f"{bar.name:56} not timed: {NO_UNIT}", flush=True)
        else:
            results.append(measure(bar, arguments.rounds))
            show(results[-1])
    if chosen("units"):
        for result in units(arguments.rounds):
            results.append(result)
            show(result)
    if arguments.json:
        record = {"machine": machine(), "isa": native.C.isa(), "bars": [asdict(r) for r in results]}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    missed = [r.name for r in results if r.verdict == "missed"]
    print(f"{len(results)} bars; missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def show(result: Result) -> None:
    print(
        f"{result.name:56} {result.ours_ms:9.2f} ms  {result.best:9} {result.best_ms:9.2f} ms  "
        f"{result.ratio:6.2f}  {result.at_least:5.2f}  {result.verdict}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
