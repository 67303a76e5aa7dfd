"""One small convolutional network for every channel of any sensor."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, group_norm, pad

from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import hide, over, strided


class Norm(nn.GroupNorm):
    """Group normalisation whose statistics leave padding out."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, F, 1, L) -> the same shape; what stands beyond the lengths is no feature."""
        if lengths is None:
            return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        n, features, _, steps = x.shape
        grouped = hide(x, lengths).reshape(n, self.num_groups, -1, steps)
        count = (lengths * grouped.shape[2])[:, None, None, None]
        centred = grouped - grouped.sum((2, 3), keepdim=True) / count
        inside = torch.where(over(centred, lengths), centred, 0.0)
        variance = inside.square().sum((2, 3), keepdim=True) / count
        y = (centred * torch.rsqrt(variance + self.eps)).view(n, features, 1, steps)
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    """y = x + conv1(gelu(conv3(norm(x)))), conv3 on steps t - d, t and t + d."""

    def __init__(self, width: int, groups: int, dilation: int) -> None:
        super().__init__()
        self.norm = Norm(groups, width)
        self.conv = nn.Conv2d(width, width, (1, 3), dilation=(1, dilation), padding=(0, dilation))
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        inner = hide(self.norm(x, lengths), lengths)
        y: Tensor = x + self.mix(gelu(self.conv(inner)))
        return y


class Channelwise(TimeEncoder):
    """(N, C, T) -> (N, 2 C width): every channel alone through the same network, side by side.

        value and first difference -> convolution of 7, stride 2 -> `depth` residual blocks of
        dilation 1, 2, 4, ...

    So the weights are those of any number of channels, and a network that was trained on series of
    one channel takes a sensor of nine. What channels have to do with each other is left to what
    reads the features. A series is normalised by itself (group normalisation): no feature depends
    on the batch.

    Args:
        channels: C.
        width: features of a channel.
        depth: number of blocks; they see 2 (2^depth - 1) steps of theirs to both sides.
        groups: of the normalisation; a divisor of width.
    """

    stride = 2

    def __init__(self, channels: int, width: int = 64, depth: int = 6, groups: int = 8) -> None:
        super().__init__()
        self.channels, self.width, self.groups = channels, width, groups
        self.out_features = 2 * channels * width
        self.stem = nn.Conv2d(2, width, (1, 7), stride=(1, self.stride), padding=(0, 3))
        self.blocks = nn.Sequential(*(Block(width, groups, 2**i) for i in range(depth)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """The blocks, channels side by side: (N, C width, 1, L)."""
        n, channels, steps = x.shape
        own = None if lengths is None else lengths.repeat_interleave(channels)
        h = self.series(x.reshape(n * channels, steps), own)
        left = strided(lengths, self.stride)
        stages = [Stage(m.reshape(n, -1, 1, m.shape[-1]), left) for m in h]
        return stages, stages[-1]

    def series(self, x: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
        """Maps (M, width, 1, L) of all blocks, of M series (M, T) that are 0 beyond the lengths."""
        difference = pad(x[:, 1:] - x[:, :-1], (1, 0))
        both = torch.stack([x, hide(difference, lengths)], dim=1)[:, :, None]
        h = self.stem(both.contiguous(memory_format=torch.channels_last))
        left, found = strided(lengths, self.stride), []
        for block in self.blocks:
            h = block(h, left)
            found.append(h)
        return found
