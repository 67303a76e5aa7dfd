"""Lower bounds of the GPU kernels' times, from counted work and published rates. No GPU is used.

    python benchmarks/gpu_static.py          bounds, beside published times of other projects
    python benchmarks/gpu_static.py --table  what every kernel compiles to: python tools/gpu_objects

A bound assumes that every unit runs at its published peak and that they overlap completely: it is
the time of the busiest unit (forward and backward: the sum of both bounds). "in turn" assumes the
opposite for the two largest users, products and exponentials: their sum. No kernel can be faster
than the first; what it really takes, only a GPU can tell (benchmarks/gpu_run.py).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from gpu_objects.targets import A100, H100, Rates
from gpu_work import (
    Work,
    augment,
    chunked,
    clip,
    nt_xent,
    nt_xent_backward,
    nt_xent_forward,
    unit,
    vicreg,
)

FAMILY = {A100.name: "sm_80", H100.name: "sm_90"}
UNITS = 2.0  # the bar: units of tensor-core time, plus exponentials

HEADER = (
    f"{'work':<30} {'GPU':<15} {'Tflop':>7} {'Gexp':>6} {'DRAM GB':>8} {'L2 GB':>7} "
    f"{'bound ms':>9} {'limited by':<13} {'in turn ms':>10}"
)

# (work as here, GPU, published milliseconds, who, what exactly)
PUBLISHED = (
    ("CLIP 65536 x 768", H100, 48.8, "siglip-kernel 0.1.2", "sigmoid loss, GH200/H100, bf16"),
    ("CLIP 65536 x 512", A100, 201.0, "memeff 0.3.1", "CLIP loss, A100, bf16"),
    ("CLIP 65536 x 384", A100, 184.0, "memeff 0.3.1", "Qwen3 InfoNCE, A100, bf16"),
)
# Inf-CL (Cheng et al., 2024), loss memory in GB on each of 8 A800 by global batch.
INF_CL = {32768: (16.67, 2.27, 0.18), 65536: (66.11, 8.63, 0.36), 131072: (None, 33.64, 0.72)}


def works(family: str) -> list[Work]:
    out = []
    for batch in (1024, 65536):
        for dim in (128, 256):
            out += [nt_xent_forward(batch, dim, family), nt_xent_backward(batch, dim, family)]
    out += [nt_xent_forward(65536, 768, family), nt_xent_backward(65536, 768, family)]
    out += [nt_xent(65536, dim, family) for dim in (128, 256, 768)]
    out += [clip(65536, dim, family) for dim in (128, 384, 512, 768)]
    out.append(chunked("queue 1024 x 65536 x 768", 1024, 65536, 768, one_set=True))
    for n, dim in ((256, 2048), (256, 8192), (2048, 2048)):
        out += [vicreg(n, dim, family, products) for products in ("fp32", "tf32")]
    out += [augment(batch, 9, 128) for batch in (256, 65536)]
    return out


def show(work: Work, rates: Rates) -> str:
    times = work.times(rates)
    limit = max(times, key=lambda k: times[k])
    turn = times["products"] + times["exponentials"]
    return (
        f"{work.name:<30} {rates.name:<15} {work.flops / 1e12:>7.2f} {work.exps / 1e9:>6.1f} "
        f"{work.dram / 1e9:>8.2f} {work.l2 / 1e9:>7.1f} {work.bound(rates) * 1e3:>9.3f} "
        f"{limit:<13} {turn * 1e3:>10.3f}"
    )


def bar(dim: int) -> tuple[float, float, float]:
    """(bound, units of products, bar) of NT-Xent at 65,536 x dim on an H100, seconds."""
    work = nt_xent(65536, dim, "sm_90")
    one = unit(131072, 131072, dim)
    times = work.times(H100)
    allowed = UNITS * one / H100.tensor["bf16"] + times["exponentials"]
    return work.bound(H100), work.flops / one, allowed


def memory(batch: int, dim: int = 1024, devices: int = 8) -> float:
    """Extra bytes of the loss per device: operands of both towers and gradients; one row chunk."""
    from tsssl_fast.ops.contrastive.triton.tuning import CHUNK_ELEMENTS

    local = batch // devices
    return 2.0 * (local + batch) * dim + 4.0 * 2 * batch * dim + 6.0 * CHUNK_ELEMENTS


def _within(seconds: float, allowed: float) -> str:
    return "within the bar" if seconds <= allowed else "over the bar"


def report() -> str:
    lines = [HEADER]
    for rates in (A100, H100):
        lines += [show(work, rates) for work in works(FAMILY[rates.name])]
    lines.append("\npublished times at the same shape (theirs measured, ours a bound):")
    for name, rates, theirs, who, what in PUBLISHED:
        work = next(w for w in works(FAMILY[rates.name]) if w.name == name)
        ours = work.bound(rates) * 1e3
        lines.append(
            f"{name:<30} {rates.name:<15} {who}: {theirs} ms ({what}); bound {ours:.1f} ms"
        )
    lines.append(
        "\nNT-Xent forward + backward, batch 65,536, bf16, H100; a unit is one full product:"
    )
    for dim in (128, 256):
        bound, units, allowed = bar(dim)
        times = nt_xent(65536, dim, "sm_90").times(H100)
        turn = times["products"] + times["exponentials"]
        lines.append(
            f"D = {dim}: bar {UNITS} units + exponentials = {allowed * 1e3:.2f} ms; the kernels do "
            f"{units:.2f} units. Assuming that products and exponentials overlap: "
            f"{bound * 1e3:.2f} ms, {_within(bound, allowed)}; assuming that they take turns: "
            f"{turn * 1e3:.2f} ms, {_within(turn, allowed)}. In between: within the bar where "
            f"{(turn - allowed) / times['exponentials']:.0%} of the exponentials' time or more "
            "passes during products"
        )
    lines.append("\nloss memory per device in GB, 8 devices, D = 1024 (theirs: Inf-CL's table):")
    for batch, (plain, gathered, tiled) in INF_CL.items():
        theirs = f"CLIP {plain or 'out of memory'}, OpenCLIP {gathered}, Inf-CL {tiled}"
        lines.append(f"batch {batch:>7}: {theirs}; ours by count {memory(batch) / 1e9:.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print what the kernels compile to")
    if parser.parse_args(arguments).table:
        from gpu_objects.__main__ import main as table

        sys.argv[1:] = []
        return table()
    print(report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
