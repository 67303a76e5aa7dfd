"""SimCLR in a loop of one's own: a pipeline, a loss, nothing else of the package.

python examples/plain_loop.py
"""

import torch
from series import gestures, neighbours

from tsssl_fast import augment, losses

torch.manual_seed(0)
x, y = gestures(512)
x_test, y_test = gestures(256, seed=1)

encoder = torch.nn.Sequential(
    torch.nn.Conv1d(3, 32, 9, stride=2),
    torch.nn.ReLU(),
    torch.nn.Conv1d(32, 64, 9, stride=2),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool1d(1),
    torch.nn.Flatten(),
)
projector = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
pipeline = augment.Compose(
    [augment.TimeShift(0.5), augment.Scale((0.5, 1.5), per_channel=True), augment.Jitter(0.3)]
)
loss_function = losses.NTXentLoss(temperature=0.2)
optimizer = torch.optim.AdamW([*encoder.parameters(), *projector.parameters()], lr=2e-3)


def accuracy() -> float:
    with torch.no_grad():
        return neighbours(encoder(x), y, encoder(x_test), y_test)


before = accuracy()
for epoch in range(10):
    order = torch.randperm(len(x))
    for index in order.split(128):
        v1, v2 = pipeline(x[index], views=2, seed=0, epoch=epoch, sample_ids=index)
        loss = loss_function(projector(encoder(v1)), projector(encoder(v2)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")
print(f"nearest neighbour, untrained encoder: {before:.3f}, trained: {accuracy():.3f}")
