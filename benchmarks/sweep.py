"""Where is NT-Xent slower than plain torch? Forward and backward over a grid of sizes.

    python benchmarks/sweep.py [--points 32x128,2048x8] [--settings highest,medium,bf16]
                               [--compile static|dynamic|none] [--json F]

Settings: float32 under torch.set_float32_matmul_precision("highest") and "medium", and bfloat16
inputs; this package and plain torch under the same. One line per point, small ones first, and a
summary of the points where this package is slower than the better of eager and torch.compile; the
exit status is 1 where a result is wrong. Points that do not fit into --seconds are named. With
--json every point is stored as it is measured, those that are in the file are not measured again,
and the summary is of the whole file. torch.compile: `static` compiles a graph for every point,
`dynamic` one for all sizes, slower in places.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import COARSE, error
from registry import Inputs, Run
from run import machine
from suite import nt_xent
from suite.common import compiled_by_torch
from suite.common import run as forward_backward
from timing import interleaved
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.reference import pairs as reference

SERIES = (2, 8, 32, 128, 512, 2048, 8192)
DIMENSIONS = (8, 32, 128, 512, 1024)
FULL_TRUTH_ROWS = 512  # beyond, float64 would take most of the time
POINT_SECONDS = 1.5
SETTINGS = ("highest", "medium", "bf16")


def ours(z1: Tensor, z2: Tensor) -> Tensor:
    return functional.nt_xent_loss(z1, z2, temperature=nt_xent.TEMPERATURE, backend="cpp")


def correct_coarsely(inputs: Inputs, mine: tuple[Tensor, ...]) -> str:
    """The same against this package's float32, which the setting "highest" holds to float64."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    exact = forward_backward(ours, tuple(z.float() for z in inputs))()
    torch.set_float32_matmul_precision(before)
    found = error(mine, tuple(x.double() for x in exact))
    return "" if found <= COARSE else f"error {found:.1e}, allowed {COARSE:.1e}"


def correct(inputs: Inputs, mine: tuple[Tensor, ...], plain: tuple[Tensor, ...]) -> str:
    """Why the result is wrong; "" where it is right.

    Small points: the bound of the benchmarks, against float64. Large ones: 64 rows of the loss
    against float64, and the gradients against eager torch within 1e-4 of their largest element.
    """
    if len(inputs[0]) <= FULL_TRUTH_ROWS:
        truth = nt_xent.truth(inputs)
        allowed = spec.ERROR_FACTOR * error(plain, truth) + torch.finfo(torch.float32).eps
        found = error(mine, truth)
        return "" if found <= allowed else f"error {found:.1e}, allowed {allowed:.1e}"
    rows = functional.nt_xent_loss(
        *inputs, temperature=nt_xent.TEMPERATURE, reduction="none", backend="cpp"
    )
    sample = torch.linspace(0, len(rows) - 1, 64).long()
    expected = loss_rows(inputs, sample)
    off = ((rows[sample].double() - expected).abs().max() / expected.abs().max()).item()
    apart = error(mine, tuple(x.double() for x in plain))
    if off <= 1e-5 and apart <= 1e-4:
        return ""
    return f"loss off by {off:.1e}, {apart:.1e} from eager"


def loss_rows(inputs: Inputs, sample: Tensor) -> Tensor:
    """The definition in float64, of some rows."""
    u = reference.unit(torch.cat(inputs).double())[0]
    logits = u[sample] @ u.T / nt_xent.TEMPERATURE
    logits[torch.arange(len(sample)), sample] = -torch.inf
    other = sample + torch.where(sample < len(inputs[0]), 1, -1) * len(inputs[0])
    return logits.logsumexp(dim=1) - logits[torch.arange(len(sample)), other]


def once(run: Run) -> tuple[float, tuple[Tensor, ...]]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def measure(
    n: int, dim: int, compiled: Callable[..., Tensor] | None, setting: str = "highest"
) -> dict[str, Any]:
    """Seconds of each, rounds, and the better of the others over ours; or why ours is wrong."""
    inputs = nt_xent.make(n, dim).inputs()
    if setting == "bf16":
        inputs = tuple(z.bfloat16() for z in inputs)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if setting == "medium" else "highest")
    try:
        return _measure(inputs, compiled, setting)
    finally:
        torch.set_float32_matmul_precision(before)


def _measure(
    inputs: Inputs, compiled: Callable[..., Tensor] | None, setting: str
) -> dict[str, Any]:
    runs = {"eager": forward_backward(nt_xent.eager, inputs), "cpp": forward_backward(ours, inputs)}
    if compiled is not None:
        runs["compiled"] = forward_backward(compiled, inputs)
        runs["compiled"]()
    first = {name: once(run) for name, run in runs.items()}
    mine, plain = first["cpp"][1], first["eager"][1]
    exact = setting == "highest"
    if why := correct(inputs, mine, plain) if exact else correct_coarsely(inputs, mine):
        return {"wrong": why}
    seconds = {name: took for name, (took, _) in first.items()}
    del first
    rounds = min(9, int(POINT_SECONDS / sum(seconds.values())))
    if rounds >= 3:
        seconds = {name: times.median for name, times in interleaved(runs, rounds).items()}
    better = min(s for name, s in seconds.items() if name != "cpp")
    return {**seconds, "rounds": max(rounds, 1), "ratio": better / seconds["cpp"]}


def line(name: str, point: dict[str, Any]) -> str:
    size, _, setting = name.partition(" ")
    n, dim = size.split("x")
    start = f"{n:>5} x {dim:<5}{setting or 'highest':<8}"
    if "wrong" in point:
        return f"{start} WRONG: {point['wrong']}"
    columns = "".join(
        f"{point[key] * 1e3:>12.3f}" if key in point else f"{'-':>12}"
        for key in ("cpp", "eager", "compiled")
    )
    single = "  (one pass)" if point["rounds"] < 3 else ""
    slower = "  SLOWER" if point["ratio"] < 1 else ""
    return f"{start}{columns}{point['ratio']:>8.2f}x{single}{slower}"


def points(pattern: str) -> list[tuple[int, int]]:
    """Those asked for, or the grid, in the order of their work."""
    if pattern:
        pairs = [part.split("x") for part in pattern.split(",")]
        grid = [(int(n), int(dim)) for n, dim in pairs]
    else:
        grid = list(itertools.product(SERIES, DIMENSIONS))
    return sorted(grid, key=lambda p: p[0] ** 2 * p[1])


def summary(found: dict[str, Any], missing: list[str]) -> str:
    wrong = [name for name, point in found.items() if "wrong" in point]
    right = {name: point["ratio"] for name, point in found.items() if "wrong" not in point}
    slower = [name for name, ratio in right.items() if ratio < 1]
    lines = [f"slower at: {', '.join(slower) or 'no point'} of {len(right)}"]
    if right:
        least = min(right, key=lambda name: right[name])
        lines[0] += f"; the least is {right[least]:.2f}x at {least}"
    for title, names in (("wrong at", wrong), ("not measured", missing)):
        if names:
            lines.append(f"{title}: {', '.join(names)}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", default="", help="such as 32x128,2048x8; default: the grid")
    parser.add_argument("--settings", default="highest", help="several with commas between")
    parser.add_argument("--compile", choices=("static", "dynamic", "none"), default="static")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the whole run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = arguments.settings.split(",")
    if unknown := sorted(set(settings) - set(SETTINGS)):
        parser.error(f"--settings: {', '.join(unknown)}; accepted: {', '.join(SETTINGS)}")
    torch.set_num_threads(arguments.threads)
    end = time.perf_counter() + arguments.seconds
    shared = torch.compile(nt_xent.eager, dynamic=True)
    found: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        found = json.loads(arguments.json.read_text())["points"]
    missing = []
    print(f"{'N':>5} x {'D':<13}{'cpp ms':>12}{'eager ms':>12}{'compiled ms':>12}{'ratio':>9}")
    for (n, dim), setting in itertools.product(points(arguments.points), settings):
        name = f"{n}x{dim}" + ("" if setting == "highest" else f" {setting}")
        if name in found:
            continue
        if time.perf_counter() > end:
            missing.append(name)
            continue
        compiled = None
        if arguments.compile != "none":
            static = arguments.compile == "static"
            if static:
                torch.compiler.reset()  # after eight shapes it would run a function uncompiled
            compiled = compiled_by_torch(nt_xent.eager) if static else shared
        found[name] = measure(n, dim, compiled, setting)
        print(line(name, found[name]), flush=True)
        if arguments.json:
            record = {"machine": machine(), "compile": arguments.compile, "points": found}
            arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    print(summary(found, missing))
    return 1 if any("wrong" in point for point in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
