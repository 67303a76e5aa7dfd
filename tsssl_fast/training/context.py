"""What windows of a recording say together."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.common import checks


class RecordingContext(nn.Module):
    """Features of the windows of recordings -> classes of these, by a recurrent network.

        (R, W, F) -> (R, W, K): linear(GRU(features)), which looks at all windows up to each, and at
        those after it where `ahead`

    Source: NeuroNet: A Novel Hybrid Self-Supervised Learning Framework for Sleep Stage
    Classification Using Single-Channel EEG, 2024, whose temporal context is a state-space model; a
    GRU here.

    Args:
        features: F. classes: K. width: of the GRU.
        ahead: whether windows that come later count, too.

    Features are floating, in the dtype of the weights, as the result. Raises TypeError for a size
    that is no number, ValueError for one below 1.
    """

    def __init__(self, features: int, classes: int, width: int = 64, ahead: bool = False) -> None:
        super().__init__()
        for name, value in (("features", features), ("classes", classes), ("width", width)):
            checks.at_least(name, value, 1)
        self.recurrent = nn.GRU(features, width, batch_first=True, bidirectional=ahead)
        self.classifier = nn.Linear(width * (2 if ahead else 1), classes)

    def forward(self, features: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.recurrent(features)[0])
        return y


def fit_context(
    model: nn.Module,
    features: Tensor,
    labels: Tensor,
    *,
    steps: int = 200,
    lr: float = 1e-2,
    seed: int = 0,
) -> float:
    """Trains `model` in place on frozen features of windows, by AdamW with half a cosine to zero.

    Args:
        model: (R, W, F) -> (R, W, K) logits, such as `RecordingContext`.
        features: (R, W, F), of R recordings of W windows each, as of a frozen encoder.
        labels: (R, W) int64; below 0: the window has none.
        steps: of the optimizer, on all recordings. lr: the first learning rate. seed: of dropout.

    Returns:
        The last loss.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("features", features)
    if features.dim() != 3 or labels.shape != features.shape[:2]:
        raise ValueError(
            f"features, labels: shapes {tuple(features.shape)}, {tuple(labels.shape)}; accepted: "
            "(R, W, F), (R, W)"
        )
    checks.at_least("steps", steps, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=checks.positive("lr", lr))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(steps):
            logits = model(features).flatten(0, 1)
            loss = cross_entropy(logits, labels.flatten().clamp_min(-1), ignore_index=-1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return float(loss.detach())
