"""VICReg on two views, forward and backward: this package, plain torch, lightly.

    python benchmarks/decorrelation.py 256x8192 1024x2048 [--repeat 9]
    python benchmarks/decorrelation.py --sweep

Every candidate runs once per round, so that all see the same machine; medians and ratios are of the
same run. Of lightly, where it is installed, its loss is loaded
alone: the package needs torchvision, the loss does not. --sweep compares with the faster of both
torch forms from 2 x 8 to 4096 x 8192 and says where we lose. The floor is 6 min(n, d) n d flops at
the rate of torch's matrix product plus the bytes that have to move (both views read forward and
backward, both gradients written) at the rate of a copy.
"""

import argparse
import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable

import torch
from timing import interleaved
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


def lightly_loss() -> Callable[[Tensor, Tensor], Tensor] | str:
    """lightly's VICRegLoss as it is, or why it can not run."""
    package = importlib.util.find_spec("lightly")
    if package is None or not package.submodule_search_locations:
        return "not installed"
    root = pathlib.Path(package.submodule_search_locations[0])
    for name in ("lightly", "lightly.loss", "lightly.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, module)
    try:
        return importlib.import_module("lightly.loss.vicreg_loss").VICRegLoss()
    except Exception as error:
        return repr(error)


def step(loss: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> None:
    a.grad = b.grad = None
    loss(a, b).backward()


def gemm(n: int, d: int) -> Callable[[], object]:
    x, y, out = torch.randn(n, d), torch.randn(d, n), torch.empty(n, n)
    return lambda: torch.mm(x, y, out=out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", help="N x D, as 256x8192")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--largest-covariance", type=int, default=4096, help="no D x D beyond")
    parser.add_argument("--sweep", action="store_true", help="2 x 8 to 4096 x 8192")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, milliseconds")
    if options.sweep:
        sweep(options.repeat)
    for shape in options.shapes:
        measure(*map(int, shape.split("x")), options.repeat, options.largest_covariance)


def views(n: int, d: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    a = torch.randn(n, d)
    b = (a + 0.1 * torch.randn(n, d)).requires_grad_()
    return a.requires_grad_(), b


def sweep(repeat: int) -> None:
    """Every shape against the faster of both torch forms; the direct one where D <= 2048."""
    ratios: dict[str, float] = {}
    for n in (2, 8, 32, 128, 512, 1024, 4096):
        for d in (8, 32, 128, 512, 2048, 8192):
            a, b = views(n, d)
            forms = {"own": functional.vicreg_loss, "gram": gram}
            if d <= 2048:
                forms["direct"] = direct
            cases = {name: lambda f=form, a=a, b=b: step(f, a, b) for name, form in forms.items()}
            flops = 6.0 * min(n, d) * n * d
            rounds = max(3, min(4 * repeat, int(repeat * 1e9 / (1e7 + flops))))
            times = {k: t.median for k, t in interleaved(cases, rounds).items()}
            own = times.pop("own")
            best = min(times, key=times.__getitem__)
            ratios[f"{n}x{d}"] = times[best] / own
            ratio = ratios[f"{n}x{d}"]
            print(f"{n:5d} x {d:5d} {1e3 * own:10.3f}  {ratio:6.2f}x of {best}", flush=True)
    least = min(ratios, key=ratios.__getitem__)
    lost = [shape for shape, ratio in ratios.items() if ratio < 1]
    print(f"least {ratios[least]:.2f}x at {least}; slower at: {', '.join(lost) or 'none'}")


def measure(n: int, d: int, repeat: int, largest_covariance: int) -> None:
    a, b = views(n, d)
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
        peer = lightly_loss()
        if isinstance(peer, str):
            print(f"lightly: {peer}; its formula in torch instead")
            cases["masked torch"] = lambda: step(masked, a, b)
        else:
            cases["lightly"] = lambda: step(peer, a, b)
    median = {k: t.median for k, t in interleaved(cases, repeat).items()}
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
