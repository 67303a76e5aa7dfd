"""A small residual 1-D network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import hide, normalized, strided


class Block(nn.Module):
    """y = relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)); He et al., CVPR 2016, in 1-D."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        pad = (0, kernel // 2)
        self.conv1 = nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), pad, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, (1, kernel), 1, pad, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, (1, stride), bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths: of x, which is 0 beyond them, as the result is beyond its own."""
        left = strided(lengths, self.stride)
        y = hide(torch.relu(normalized(self.norm1, self.conv1(x), left)), left)
        skipped = x
        if isinstance(self.shortcut, nn.Sequential):
            conv, norm = self.shortcut
            assert isinstance(norm, _BatchNorm)
            skipped = normalized(norm, conv(x), left)
        return hide(torch.relu(normalized(self.norm2, self.conv2(y), left) + skipped), left)


class ResNet(TimeEncoder):
    """(N, C, T) -> (N, 2 * widths[-1]): stem k7 stride 2, one block per width, mean and maximum
    pooled.

    Args:
        channels: C.
        widths: filters of the blocks; the first keeps the length, each later one halves it.
        kernel: odd kernel length of the blocks.
    """

    def __init__(
        self, channels: int, widths: Sequence[int] = (32, 64, 128), kernel: int = 5
    ) -> None:
        super().__init__()
        self.channels = channels
        self.out_features = 2 * widths[-1]
        self.stride = 2 ** len(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], (1, 7), (1, 2), (0, 3), bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        inputs = (widths[0], *widths)
        self.blocks = nn.Sequential(
            *(Block(inputs[i], w, kernel, 1 if i == 0 else 2) for i, w in enumerate(widths))
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """The blocks."""
        stages = []
        x = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        conv, norm, relu = self.stem
        assert isinstance(norm, _BatchNorm)
        lengths = strided(lengths, 2)
        x = hide(relu(normalized(norm, conv(x), lengths)), lengths)
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block(x, lengths)
            lengths = strided(lengths, block.stride)
            stages.append(Stage(x, lengths))
        return stages, stages[-1]
