"""A transformer over patches of time."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tsssl_fast.encoders.features import Stage, TimeEncoder
from tsssl_fast.encoders.padding import inside, strided


def positions(length: int, like: Tensor) -> Tensor:
    """(length, D) sines and cosines (Vaswani et al., NeurIPS 2017) for tokens (..., D)."""
    width = like.shape[-1]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(1e4) / width))
    angles = torch.arange(length, device=like.device)[:, None] * rates
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return waves[:, :width].to(like.dtype)


def transformer(width: int, depth: int, heads: int) -> nn.Sequential:
    """`depth` pre-norm layers without dropout and a last normalisation."""
    layers = (
        nn.TransformerEncoderLayer(
            width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        for _ in range(depth)
    )
    return nn.Sequential(*layers, nn.LayerNorm(width))


class PatchTransformer(TimeEncoder):
    """(N, C, T) -> (N, 2 * width): patches of all channels are tokens; mean and maximum over them.

    Source: Dosovitskiy et al., ViT, ICLR 2021, in one dimension, with fixed positions (so that any
    length will do) and mean and maximum in place of a class token. What masked methods use:

        tokens = encoder.embed(encoder.patches(x));  h = encoder.blocks(tokens)

    Args:
        channels: C.
        patch: steps of a token; the end of a series repeats its last step up to a whole patch.
        width, depth, heads: of the transformer; the hidden layers have 2 * width units.
    """

    def __init__(
        self, channels: int, patch: int = 8, width: int = 96, depth: int = 3, heads: int = 4
    ) -> None:
        super().__init__()
        self.channels = channels
        self.patch = self.stride = patch
        self.width = width
        self.out_features = 2 * width
        self.embedding = nn.Linear(channels * patch, width)
        self.blocks = transformer(width, depth, heads)

    def patches(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, L, C * patch)."""
        x = pad(x, (0, -x.shape[-1] % self.patch), mode="replicate")
        return x.unfold(2, self.patch, self.patch).transpose(1, 2).flatten(2)

    def embed(
        self, patches: Tensor, hidden: Tensor | None = None, token: Tensor | None = None
    ) -> Tensor:
        """(N, L, C * patch) -> tokens (N, L, width) with positions.

        hidden: (N, L) bool, where `token` (width,) stands in place of the patch.
        """
        tokens: Tensor = self.embedding(patches)
        if hidden is not None and token is not None:
            tokens = torch.where(hidden[..., None], token, tokens)
        return tokens + positions(tokens.shape[1], tokens)

    def maps(self, x: Tensor, lengths: Tensor | None) -> tuple[list[Stage], Stage]:
        """No stages: all layers have the same tokens; those of the last are normalised, pooled."""
        hidden = None
        if lengths is not None:
            # The last step stands in for the rest of its patch, as in `patches`.
            end = torch.minimum(torch.arange(x.shape[-1], device=x.device), lengths[:, None] - 1)
            x = x.gather(2, end[:, None].expand_as(x))
            lengths = strided(lengths, self.patch)
            hidden = ~inside(lengths, -(-x.shape[-1] // self.patch))
        h = self.embed(self.patches(x))
        *layers, norm = self.blocks
        for layer in layers:
            h = layer(h, src_key_padding_mask=hidden)
        return [], Stage(norm(h).mT.unsqueeze(2), lengths)
