"""A LightningModule; where Lightning's Trainer is not installed, the same steps by its Fabric.

python examples/lightning_module.py
"""

import importlib.util
from typing import Any

import torch
from lightning_fabric import Fabric
from series import gestures
from torch.utils.data import DataLoader, TensorDataset

from tsssl_fast import augment, encoders, losses

TRAINER = importlib.util.find_spec("pytorch_lightning") is not None
if TRAINER:
    import pytorch_lightning

    Base: Any = pytorch_lightning.LightningModule
else:
    Base = torch.nn.Module


class VICReg(Base):
    """Batches are (index, x): with the index as sample id a series has its views anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoders.build("resnet", channels=3, length=128, widths=(16, 32, 64))
        self.projector = torch.nn.Linear(self.encoder.out_features, 64)
        self.pipeline = augment.presets.simclr_ts()
        self.loss_function = losses.VICRegLoss()
        self.steps = 0

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_index: int) -> Any:
        index, x = batch
        v1, v2 = self.pipeline(x, views=2, seed=0, step=self.steps, sample_ids=index)
        self.steps += 1
        z1, z2 = self.projector(self.encoder(v1)), self.projector(self.encoder(v2))
        return self.loss_function(z1, z2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def fit_with_fabric(module: torch.nn.Module, loader: Any, epochs: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    wrapped, optimizer = fabric.setup(module, module.configure_optimizers())
    wrapped.mark_forward_method("training_step")
    loader = fabric.setup_dataloaders(loader)
    for epoch in range(epochs):
        for number, batch in enumerate(loader):
            loss = wrapped.training_step(batch, number)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")


torch.manual_seed(0)
x, _ = gestures(256)
data = DataLoader(TensorDataset(torch.arange(len(x)), x), batch_size=64, shuffle=True)
module = VICReg()
if TRAINER:
    trainer = pytorch_lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    trainer.fit(module, data)
else:
    fit_with_fabric(module, data, epochs=3)
print(f"{'Trainer' if TRAINER else 'Fabric'}: {module.steps} steps")
