"""Where is VICReg slower than the faster of both plain torch forms? 2 x 8 to 4096 x 8192.

python benchmarks/experiments/decorrelation_sweep.py [--repeat 9] [--threads 2]
"""

import argparse

import folder_above as folder_above

# isort: split
import torch
from suite.common import Loss, run
from suite.decorrelation import direct, gram, ours, views
from timing import interleaved


def sweep(repeat: int) -> None:
    """Every shape; the direct form where d <= 2048."""
    ratios: dict[str, float] = {}
    for n in (2, 8, 32, 128, 512, 1024, 4096):
        for d in (8, 32, 128, 512, 2048, 8192):
            forms: dict[str, Loss] = {"own": ours, "gram": gram}
            if d <= 2048:
                forms["direct"] = direct
            cases = {name: run(form, views(n, d)) for name, form in forms.items()}
            flops = 6.0 * min(n, d) * n * d
            rounds = max(3, min(4 * repeat, int(repeat * 1e9 / (1e7 + flops))))
            times = {name: t.median for name, t in interleaved(cases, rounds).items()}
            own = times.pop("own")
            best = min(times, key=times.__getitem__)
            ratios[f"{n}x{d}"] = ratio = times[best] / own
            print(f"{n:5d} x {d:5d} {1e3 * own:10.3f}  {ratio:6.2f}x of {best}", flush=True)
    least = min(ratios, key=ratios.__getitem__)
    lost = [shape for shape, ratio in ratios.items() if ratio < 1]
    print(f"least {ratios[least]:.2f}x at {least}; slower at: {', '.join(lost) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, milliseconds")
    sweep(options.repeat)


if __name__ == "__main__":
    main()
