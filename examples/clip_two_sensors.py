"""CLIP of two sensors: which recording of the wrist belongs to which of the ankle?

python examples/clip_two_sensors.py
"""

import torch
from series import gestures

from tsssl_fast import encoders, losses

torch.manual_seed(0)


def two_sensors(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The wrist (n, 3, 128) and the ankle (n, 2, 128), later, rotated and with its own noise."""
    wrist, _ = gestures(n, seed=seed)
    g = torch.Generator().manual_seed(seed + 100)
    turn = torch.tensor([[0.8, 0.6, 0.0], [0.0, 0.6, -0.8]])
    ankle = torch.roll(turn @ wrist, 5, dims=-1)
    return wrist, ankle + 0.3 * torch.randn(ankle.shape, generator=g)


class Towers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wrist = encoders.build("resnet", channels=3, length=128, widths=(16, 32, 64))
        self.ankle = encoders.build("resnet", channels=2, length=128, widths=(16, 32, 64))
        width = self.wrist.out_features
        self.heads = torch.nn.ModuleList([torch.nn.Linear(width, 32) for _ in range(2)])

    def forward(self, wrist: torch.Tensor, ankle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.heads[0](self.wrist(wrist)), self.heads[1](self.ankle(ankle))


wrist, ankle = two_sensors(512, seed=0)
towers, loss_function = Towers(), losses.CLIPLoss(learnable_temperature=True)
parameters = [*towers.parameters(), *loss_function.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=1e-3)
for epoch in range(8):
    for index in torch.randperm(len(wrist)).split(128):
        loss = loss_function(*towers(wrist[index], ankle[index]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")

towers.eval()
with torch.no_grad():
    q, k = (torch.nn.functional.normalize(z, dim=1) for z in towers(*two_sensors(128, seed=1)))
found = (q @ k.T).argmax(1) == torch.arange(128)
print(f"found among 128: {found.double().mean().item():.3f}, by chance: {1 / 128:.3f}")
