"""Dilated causal convolutions: a feature at step t sees steps up to t, a window that doubles from
block to block.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import normalized


class CausalConv(nn.Module):
    """Kernel 3 on steps t - 2d, t - d and t, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.conv = nn.Conv2d(inputs, outputs, (1, 3), dilation=(1, dilation), bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return normalized(self.norm, self.conv(pad(x, (self.past, 0))), lengths)


class Block(nn.Module):
    """y = x + conv(relu(conv(relu(x)))), the shortcut a 1x1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = CausalConv(inputs, outputs, dilation)
        self.conv2 = CausalConv(outputs, outputs, dilation)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Nothing before the end of a series sees what comes after it; lengths count for batch
        statistics alone."""
        y: Tensor = self.conv2(torch.relu(self.conv1(torch.relu(x), lengths)), lengths)
        skipped: Tensor = self.shortcut(x)
        return y + skipped


class Causal(TimeEncoder):
    """(N, C, T) -> (N, 2 * features): 1x1 convolution, `depth` blocks of dilation 1, 2, 4, ...

    Source: Yue et al., TS2Vec, AAAI 2022, whose encoder has depth 10, width 64 and 320 features and
    looks both ways; this one looks back only, is smaller and normalises its batches. It sees
    4 (2^depth - 1) past steps.

    Args:
        channels: C.
        width: filters of all blocks but the last.
        depth: number of blocks.
        features: filters of the last block.
    """

    def __init__(self, channels: int, width: int = 48, depth: int = 6, features: int = 128) -> None:
        super().__init__()
        self.channels = channels
        self.out_features = 2 * features
        self.stride = 1
        self.stem = nn.Conv2d(channels, width, 1, bias=False)
        self.blocks = nn.Sequential(
            *(Block(width, features if i == depth - 1 else width, 2**i) for i in range(depth))
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """The blocks; step t depends on steps up to t alone."""
        stages = []
        x = self.stem(x.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x, lengths)
            stages.append(Stage(x, lengths))
        return stages, stages[-1]


class Stream:
    """Features of a `Causal` encoder in evaluation mode, of series that are still growing.

    Of the past, the steps that each convolution still sees are kept; nothing is computed again.
    """

    def __init__(self, encoder: Causal) -> None:
        self.encoder = encoder.eval()
        self.past: dict[nn.Module, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, k), the next k steps -> (N, k, F), as `features(...).steps` has them there."""
        with torch.inference_mode():
            h = self.encoder.stem(x.unsqueeze(2))
            blocks: Any = self.encoder.blocks
            for block in blocks:
                y = self._conv(block.conv1, torch.relu(h))
                h = self._conv(block.conv2, torch.relu(y)) + block.shortcut(h)
        steps: Tensor = h.squeeze(2).mT
        return steps

    def _conv(self, conv: CausalConv, x: Tensor) -> Tensor:
        before = self.past.get(conv)
        if before is None:
            before = x.new_zeros(*x.shape[:-1], conv.past)
        whole = torch.cat([before, x], dim=-1)
        self.past[conv] = whole[..., -conv.past :]
        y: Tensor = conv.norm(conv.conv(whole))
        return y
