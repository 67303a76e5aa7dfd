"""InceptionTime-like network: long kernels side by side, for series where the receptive field
matters.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import hide, normalized, over, strided


class Module(nn.Module):
    """Bottleneck 1x1, then kernels 39, 19 and 9 and a max-pooled 1x1 side by side, BN, relu."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.bottleneck = nn.Conv2d(inputs, filters, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(filters, filters, (1, k), padding=(0, k // 2), bias=False)
            for k in (39, 19, 9)
        )
        self.pool = nn.MaxPool2d((1, 3), 1, (0, 1))
        self.pooled = nn.Conv2d(inputs, filters, 1, bias=False)
        self.norm = nn.BatchNorm2d(4 * filters)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x, which is 0 beyond the lengths; so is the result."""
        b = self.bottleneck(x)
        # Alone, the maximum takes no zero in beside the last step.
        highest = hide(self.pool(hide(x, lengths, -torch.inf)), lengths)
        parts = [*(conv(b) for conv in self.convs), self.pooled(highest)]
        return hide(torch.relu(normalized(self.norm, torch.cat(parts, dim=1), lengths)), lengths)


class Inception(TimeEncoder):
    """(N, C, T) -> (N, 8 * filters): average pool by `stride`, Inception modules with one residual.

    Source: Ismail Fawaz et al., InceptionTime, DMKD 2020; smaller, with the series averaged down
    first.

    Args:
        channels: C.
        filters: filters of each of the four branches.
        depth: number of modules; the residual spans all of them.
        stride: time steps averaged into one before the first module.
    """

    def __init__(self, channels: int, filters: int = 32, depth: int = 3, stride: int = 4) -> None:
        super().__init__()
        self.channels = channels
        self.out_features = 8 * filters
        self.stride = stride
        self.reduce = nn.AvgPool2d((1, stride), ceil_mode=True)
        self.modules_ = nn.Sequential(
            *(Module(channels if i == 0 else 4 * filters, filters) for i in range(depth))
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels, 4 * filters, 1, bias=False), nn.BatchNorm2d(4 * filters)
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """The modules; the last, with the shortcut added, is pooled."""
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        averaged = self.reduce(x)
        if lengths is not None:  # the last average of a series has what is left of it
            share = self.reduce(over(x, lengths).to(x.dtype))
            lengths = strided(lengths, self.stride)
            averaged = averaged / torch.where(share > 0, share, 1.0)
        stages, x = [], averaged
        for module in self.modules_:
            x = module(x, lengths)
            stages.append(Stage(x, lengths))
        conv, norm = self.shortcut
        assert isinstance(norm, _BatchNorm)
        y = torch.relu(x + normalized(norm, conv(averaged), lengths))
        return stages, Stage(y, lengths)
