"""What a training step of every encoder costs: forward and backward of two views of a batch.

    python benchmarks/experiments/encoders.py [--threads 2] [--rounds 5]

Encoders take turns inside one process; figures are medians in milliseconds, in float32 and under
bfloat16 autocast where the processor multiplies bfloat16. `sizes` are those of UCI HAR (256 series
of 9 channels, 128 steps) and UWaveGestureLibrary (120 of 3, 315), the defaults of `build`.
"""

import folder_above as folder_above

# isort: split
import argparse
from collections.abc import Callable

import torch
from timing import interleaved

from tsssl_fast import encoders
from tsssl_fast.training.loop import has_bf16

SIZES = {"UCI HAR": (256, 9, 128), "UWaveGestureLibrary": (120, 3, 315)}


def step(name: str, size: tuple[int, int, int], bf16: bool) -> Callable[[], object]:
    n, channels, length = size
    torch.manual_seed(0)
    encoder, x = encoders.build(name, channels, length), torch.randn(2 * n, channels, length)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            h = encoder(x)
        h.float().square().mean().backward()

    return run


def parameters(name: str) -> int:
    return sum(p.numel() for p in encoders.build(name, 9, 128).parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kinds = (False, True) if has_bf16("cpu") else (False,)
    print(f"torch {torch.__version__}, {arguments.threads} threads, bfloat16 {len(kinds) == 2}")
    for title, size in SIZES.items():
        cases = {(n, b): step(n, size, b) for n in encoders.ENCODERS for b in kinds}
        times = interleaved({f"{n} {b}": run for (n, b), run in cases.items()}, arguments.rounds)
        print(f"{title}, 2 x {size}")
        for name in encoders.ENCODERS:
            ms = [f"{1e3 * times[f'{name} {b}'].median:8.1f}" for b in kinds]
            print(f"  {name:>18} {parameters(name) / 1e3:6.0f}k parameters  {' '.join(ms)} ms")


if __name__ == "__main__":
    main()
