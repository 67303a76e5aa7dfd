"""VICReg on two views, forward and backward: this package, plain torch, lightly's formula.

    python benchmarks/decorrelation.py 256x8192 1024x2048 [--repeat 9]

Every candidate runs once per round, so that all see the same machine; medians and ratios are of the
same run. The floor is 6 min(n, d) n d flops at the rate of torch's matrix product plus the bytes
that have to move (both views read forward and backward, both gradients written) at the rate of a
copy.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.decorrelation import reference

GAMMA, EPS = 1.0, 1e-4


def _shell(a: Tensor, b: Tensor, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    hinge = sum((GAMMA - (z.var(dim=0) + EPS).sqrt()).relu().mean() / 2 for z in (a, b))
    return 25 * torch.nn.functional.mse_loss(a, b) + 25 * hinge + penalty(a) + penalty(b)


def direct(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        return reference.off_diagonal(x.T @ x / (len(z) - 1)).square().sum() / z.shape[1]

    return _shell(a, b, penalty)


def gram(a: Tensor, b: Tensor) -> Tensor:
    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        k = x @ x.T / (len(z) - 1)
        return (k.square().sum() - z.var(dim=0).square().sum()) / z.shape[1]

    return _shell(a, b, penalty)


def masked(a: Tensor, b: Tensor) -> Tensor:
    """lightly's way: the covariance's off-diagonal elements by a boolean mask."""

    def penalty(z: Tensor) -> Tensor:
        x = z - z.mean(dim=0)
        c = torch.einsum("bc,bd->cd", x, x) / (len(z) - 1)
        mask = ~torch.eye(z.shape[1], dtype=torch.bool)
        return c[..., mask].pow(2).sum(-1) / z.shape[1]

    return _shell(a, b, penalty)


def step(loss: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> None:
    a.grad = b.grad = None
    loss(a, b).backward()


def gemm(n: int, d: int) -> Callable[[], object]:
    x, y, out = torch.randn(n, d), torch.randn(d, n), torch.empty(n, n)
    return lambda: torch.mm(x, y, out=out)


def interleaved(cases: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(repeat + 1):
        for name, run in cases.items():
            begin = time.perf_counter()
            run()
            if round_:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="+", help="N x D, as 256x8192")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--largest-covariance", type=int, default=4096, help="no D x D beyond")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, milliseconds")
    for shape in options.shapes:
        measure(*map(int, shape.split("x")), options.repeat, options.largest_covariance)


def measure(n: int, d: int, repeat: int, largest_covariance: int) -> None:
    torch.manual_seed(0)
    a = torch.randn(n, d)
    b = (a + 0.1 * torch.randn(n, d)).requires_grad_()
    a.requires_grad_()
    source = torch.randn(2, n, d)
    copy = torch.empty_like(source)
    side = min(n, d)
    flops = 2 * side * side * max(n, d)
    cases: dict[str, Callable[[], object]] = {
        "tsssl_fast": lambda: step(functional.vicreg_loss, a, b),
        "gram torch": lambda: step(gram, a, b),
        "gemm": gemm(side, max(n, d)),
        "copy": lambda: copy.copy_(source),
    }
    if d <= largest_covariance:
        cases["direct torch"] = lambda: step(direct, a, b)
        cases["masked torch"] = lambda: step(masked, a, b)
    median = interleaved(cases, repeat)
    # Six flops where the product has two; the copy moves four of the six views' worth of bytes.
    floor = 3 * median["gemm"] + 1.5 * median["copy"]
    rate = flops / median["gemm"] / 1e9
    own = median["tsssl_fast"]
    moved = 1e3 * median["copy"]
    print(f"{n} x {d}: floor {1e3 * floor:.3f} ({rate:.0f} GFLOP/s, copy {moved:.2f})")
    for name in [name for name in cases if name not in ("gemm", "copy")]:
        value = median[name]
        ratios = f"{value / own:7.2f}x  {value / floor:6.2f} floors"
        print(f"  {name:<13} {1e3 * value:9.3f}  {ratios}")


if __name__ == "__main__":
    main()
