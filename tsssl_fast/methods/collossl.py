"""ColloSSL: devices worn together are each other's views."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.functional import collossl_loss, rank_devices
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view, projector


class ColloSSL(Method):
    """Every device against the nearest other device at the same moments, and against the rest at
    other moments.

        z_g = projector(encoder(x with all channels but those of device g 0))
        loss = mean over the anchors a of collossl_loss(z_a, z_p, shuffled z_n of all other n)

    p is the device whose values in the batch have the least maximum mean discrepancy from a's; the
    negatives' rows are rotated by a number of the step's seed, and weighed by 1 / discrepancy.

    Source: Collaborative Self-Supervised Learning for Human Activity Recognition, 2022. Deviations:
    devices are groups of channels of one series, the others 0, so that one encoder takes them and,
    afterwards, all channels together; the discrepancy is of the standardised values, not of
    embeddings. With several processes each contrasts its own rows.

    Args:
        encoder: (N, C, T) -> (N, F). projector: (N, F) -> (N, D).
        views: augmentation of all devices alike, of which the first view is used, or None.
        devices: G >= 3 groups of neighbouring channels, a divisor of C.
        temperature: tau > 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views | None = None,
        devices: int = 3,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.views = views
        checks.at_least("devices", devices, 3)
        self.devices = int(devices)
        self.temperature = checks.positive("temperature", temperature)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, devices: int = 3, temperature: float = 0.2
    ) -> "ColloSSL":
        """A 256-128 projector."""
        return cls(encoder, projector(encoder), views, int(devices), temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x, groups = one_view(self.views, batch), self.devices
        if x.shape[1] % groups:
            raise ValueError(f"devices: {groups}; accepted: a divisor of {x.shape[1]} channels")
        each = x.shape[1] // groups
        owner = torch.arange(x.shape[1], device=x.device) // each
        shown = [torch.where((owner == g)[:, None], x, 0.0) for g in range(groups)]
        z = self.projector(self.encode(torch.cat(shown))).unflatten(0, (groups, len(x)))
        values = x.detach().unflatten(1, (groups, each)).transpose(0, 1).flatten(2)
        source = torch.Generator().manual_seed(batch.seed)
        turn = int(torch.randint(1, len(x), (), generator=source))
        losses = [self._against(a, z, values, turn) for a in range(groups)]
        return torch.stack(losses).mean(), {}

    def _against(self, anchor: int, z: Tensor, values: Tensor, turn: int) -> Tensor:
        others = [g for g in range(len(z)) if g != anchor]
        apart = rank_devices(values[anchor], values[others])
        order = apart.argsort()
        ranked = z[torch.tensor(others, device=z.device)[order]]
        far = 1 / apart[order][1:].clamp_min(torch.finfo(apart.dtype).eps)
        return collossl_loss(
            z[anchor],
            ranked[:1],
            ranked[1:].roll(turn, 1),
            negative_weight=(far / far.sum()).to(z.dtype),
            temperature=self.temperature,
            precision=self.precision,
        )
