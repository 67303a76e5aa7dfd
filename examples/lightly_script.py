"""A script that was written for lightly: its loss runs on our kernels, and nothing else changes.

    python examples/lightly_script.py

Where lightly is installed, `compat.patch` swaps what the script imported. Where it is not, the
import is the one line that changes.
"""

import importlib.util

import torch
from series import gestures
from torch import nn

from tsssl_fast import augment, compat

if importlib.util.find_spec("lightly"):
    from lightly.loss import NTXentLoss  # as the script has it

    print("swapped:", ", ".join(compat.patch("lightly")))
else:
    from tsssl_fast.compat.lightly.loss import NTXentLoss


class SimCLR(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv1d(3, 32, 9, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()
        )
        self.projection_head = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection_head(self.backbone(x))


torch.manual_seed(0)
x, _ = gestures(512)
transform = augment.presets.simclr_ts()
dataloader = torch.utils.data.DataLoader(x, batch_size=128, shuffle=True, drop_last=True)
model = SimCLR()
criterion = NTXentLoss(temperature=0.5, memory_bank_size=(1024, 32))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print("loss:", type(criterion).__module__)
for epoch in range(5):
    total = 0.0
    for batch in dataloader:
        x0, x1 = transform(batch, views=2)
        loss = criterion(model(x0), model(x1))
        total += loss.detach().item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"epoch: {epoch:>02}, loss: {total / len(dataloader):.5f}")
