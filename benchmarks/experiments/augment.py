"""The SimCLR-TS pipeline after other work, at several lengths, on one thread and on several.

    python benchmarks/experiments/augment.py [--threads 2] [--scaling] [--fastest]

Beside the cases of the registry (`python benchmarks/run.py augment`): samples of 100 milliseconds,
the least times with --fastest, what a machine with other work on it disturbs least, and `first`, a
single call right after 64 MB of other work, as between two training steps.
"""

import argparse
from collections.abc import Callable

import folder_above as folder_above

# isort: split
import timing
import torch
from suite import augment as forms
from torch import Tensor

from tsssl_fast import augment

# Several calls of the fastest case: after another candidate malloc has given its pages back to the
# system, and the first call pays 1 microsecond for each of them (2.5 ms at 1024 x 9 x 128).
timing.SAMPLE_SECONDS = 0.1


def milliseconds(
    cases: dict[str, Callable[[], object]], rounds: int, fastest: bool
) -> dict[str, float]:
    found = timing.interleaved(cases, rounds)
    return {name: 1e3 * (t.least if fastest else t.median) for name, t in found.items()}


def pipelines(rounds: int, fastest: bool) -> None:
    names = ("ours", "first", "copy", "torch", "numpy", "x torch", "x numpy")
    print(f"{'shape':>12} {'p':>4} " + " ".join(f"{name:>8}" for name in names))
    for shape in forms.SHAPES:
        x = torch.randn(shape)
        array, out = x.numpy(), torch.empty(2, *shape)
        for p in (0.5, 1.0):
            pipeline = augment.presets.simclr_ts(p=p)
            cases: dict[str, Callable[[], object]] = {
                "ours": lambda f=pipeline, x=x: f(x, 2, seed=0),
                "copy": lambda out=out, x=x: out.copy_(x.expand(out.shape)),
                "torch": lambda x=x, p=p: forms.torch_views(x, p),
                "numpy": lambda array=array, p=p: forms.numpy_views(array, p),
            }
            ms = milliseconds(cases, rounds, fastest)
            first = 1e3 * timing.first_call(cases["ours"], rounds)
            print(
                f"{'x'.join(map(str, shape)):>12} {p:4} {ms['ours']:8.3f} {first:8.3f} "
                f"{ms['copy']:8.3f} {ms['torch']:8.2f} {ms['numpy']:8.1f} "
                f"{ms['torch'] / ms['ours']:8.1f} {ms['numpy'] / ms['ours']:8.1f}",
                flush=True,
            )


def scaling(threads: int, rounds: int, fastest: bool) -> None:
    """The pipeline at one number of elements and several lengths, on one thread and on several."""
    pipeline = augment.presets.simclr_ts(p=1.0)
    batches = {t: torch.randn(1024 * 128 // t, 9, t) for t in (32, 128, 512, 4096)}
    cases: dict[str, Callable[[], object]] = {}
    for t, x in batches.items():
        for count in (1, threads):

            def run(x: Tensor = x, count: int = count) -> None:
                torch.set_num_threads(count)
                pipeline(x, 2, seed=0)

            cases[f"{t} {count}"] = run
    ms = milliseconds(cases, rounds, fastest)
    for t, x in batches.items():
        one, several = ms[f"{t} 1"], ms[f"{t} {threads}"]
        print(
            f"T={t:5d}: {2e-3 * x.numel() / one:7.1f} million elements written per second on one "
            f"thread ({ms['4096 1'] / one:.2f} of T=4096), x {one / several:.2f} on {threads} "
            f"({ms[f'4096 {threads}'] / several:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scaling", action="store_true", help="series lengths and threads")
    parser.add_argument("--fastest", action="store_true", help="least times instead of medians")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads")
    if arguments.scaling:
        scaling(arguments.threads, arguments.rounds, arguments.fastest)
    else:
        pipelines(arguments.rounds, arguments.fastest)


if __name__ == "__main__":
    main()
