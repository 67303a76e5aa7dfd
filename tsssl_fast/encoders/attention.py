"""Attention over steps: between two sensors, and as a gate."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.encoders.pool import mean_max


class CrossAttention(nn.Module):
    """(N, C, T) -> (N, 4 F): two sensors, whose steps look at each other's.

        a, b = steps of encoder_a(first channels), encoder_b(the rest), (N, L, F)
        a' = norm(a + attention(a, b, b));  b' = norm(b + attention(b, a, a))
        out = mean and maximum over time of both

    Source: Attention Is All You Need, 2017; fusion of modalities as LXMERT: Learning Cross-Modality
    Encoder Representations from Transformers, 2019 prints it.

    Args:
        first, second: encoders with `features` (`encoders.TimeEncoder`) of C1 and C - C1 channels
            and the same F; heads divides F.
        heads: of the attention.
    """

    def __init__(self, first: nn.Module, second: nn.Module, heads: int = 4) -> None:
        super().__init__()
        a, b = (int(e.out_features) // 2 for e in (first, second))  # type: ignore[arg-type]
        if a != b or a % heads:
            raise ValueError(
                f"first, second: {a} and {b} features a step; accepted: the same, a multiple of "
                f"{heads} heads"
            )
        self.first, self.second = first, second
        self.channels = int(first.channels) + int(second.channels)  # type: ignore[arg-type]
        self.out_features = 4 * a
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(a, heads, batch_first=True) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(a) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError for another number of channels."""
        if x.dim() != 3 or x.shape[1] != self.channels:
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, {self.channels}, T)")
        encoders: Any = (self.first, self.second)
        parts = x.split([encoders[0].channels, encoders[1].channels], dim=1)
        steps = [e.features(part).steps for e, part in zip(encoders, parts, strict=True)]
        pooled = []
        for i, (attention, norm) in enumerate(zip(self.attentions, self.norms, strict=True)):
            own, other = steps[i], steps[1 - i]
            seen, _ = attention(own, other, other, need_weights=False)
            pooled.append(mean_max(norm(own + seen).mT.unsqueeze(2)))
        return torch.cat(pooled, dim=1)


class SigmoidWeighting(nn.Module):
    """(N, L, D) -> (N, L, D): every step weighed by what the others say of it.

        y = sigmoid(softmax(q k^T / sqrt(D)) v) x, of one linear map each for q, k, v

    Source: SSL-SSAW: Self-Supervised Learning with Sigmoid Self-Attention Weighting for
    Question-Based Sign Language Translation, 2025, whose abstract prints no formula: the weights
    are one for each feature of a step.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.query(x) @ self.key(x).mT / math.sqrt(x.shape[-1])
        return torch.sigmoid(logits.softmax(-1) @ self.value(x)) * x
