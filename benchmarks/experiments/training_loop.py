"""Start-up and per-step cost of the training loop: plain torch, Lightning Fabric, Lightning
Trainer.

    pip install pytorch-lightning  # only this comparison needs it
    python benchmarks/experiments/training_loop.py

Prints the seconds that `import` and the set-up add to `import torch` in a fresh process, and the
microseconds per step above a plain torch loop, all on one small model where the loop itself is what
costs.
"""

import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

STEPS = 1000
ROUNDS = 7


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))


def plain() -> float:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    x = torch.randn(8, 16)
    start = time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    return time.perf_counter() - start


def fabric() -> float:
    from lightning_fabric import Fabric

    loop = Fabric(accelerator="cpu", devices=1)
    module = model()
    net, optimizer = loop.setup(module, torch.optim.AdamW(module.parameters(), fused=True))
    x = torch.randn(8, 16)
    start = time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loop.backward(net(x).square().mean())
        optimizer.step()
    return time.perf_counter() - start


def trainer() -> float:
    import pytorch_lightning as lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch: Tensor, index: int) -> Tensor:
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), fused=True)

        def on_train_start(self) -> None:
            self.start = time.perf_counter()

        def on_train_end(self) -> None:
            self.seconds = time.perf_counter() - self.start

    module = Module()
    data = [torch.randn(8, 16)] * STEPS
    lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    return module.seconds


START_UP = {
    "plain torch": "pass",
    "Fabric": "from lightning_fabric import Fabric; Fabric(accelerator='cpu', devices=1)",
    "Trainer": (
        "import pytorch_lightning as l; l.Trainer(accelerator='cpu', devices=1, logger=False,"
        "enable_checkpointing=False)"
    ),
}


def start_up(code: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", f"import torch; {code}"], check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    loops = {"plain torch": plain, "Fabric": fabric, "Trainer": trainer}
    for run in loops.values():
        run()
    steps: dict[str, list[float]] = {name: [] for name in loops}
    starts: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(ROUNDS):
        for name, run in loops.items():
            steps[name].append(run() / STEPS * 1e6)
            starts[name].append(start_up(START_UP[name]))
    print(f"{'loop':<12} {'start s':>8} {'us/step':>8} {'above':>9}  (medians of {ROUNDS})")
    floor = statistics.median(steps["plain torch"])
    for name in loops:
        step = statistics.median(steps[name])
        print(
            f"{name:<12} {statistics.median(starts[name]):>8.2f} {step:>8.0f} {step - floor:>9.0f}"
        )


if __name__ == "__main__":
    main()
