"""Masked reconstruction by any encoder with features over time."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from tsssl_fast import masking
from tsssl_fast.encoders.padding import over
from tsssl_fast.methods.base import Batch, Logs, Method, Views, one_view, out_features
from tsssl_fast.methods.tokens import check_hides, check_ratio


class MaskedReconstruction(Method):
    """Parts of a series are overwritten; from what the encoder makes of the rest, rebuild them.

        x~ = x with hidden steps 0;  loss = mean over hidden steps of (head(feature_map(x~)) - x)^2

    Source: Zerveas et al., KDD 2021, whose runs of geometric length with mean 3 are the default
    masks and whose loss is taken over hidden steps alone.

    Args:
        encoder: with `feature_map`: (N, C, T) -> (N, F, 1, L).
        head: (N, F, L) -> (N, C, L'), interpolated to T.
        views: augmentation, of which the first view is used, or None.
        ratio, mode, size, per_channel: of `masking.random_mask`.
    """

    min_batch = 1
    takes_lengths = True

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        mode: str = "geometric",
        size: int | None = None,
        per_channel: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.views = views
        self.ratio = check_ratio(ratio)
        self.mode = mode
        self.size = size
        self.per_channel = per_channel

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.5, size: float = 8
    ) -> "MaskedReconstruction":
        """A linear head that gives every feature 8 steps; masks shorter than `size` on average."""
        return cls(encoder, Steps.of(encoder), views, ratio, size=int(size))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = one_view(self.views, batch)
        hidden = masking.random_mask(
            x.shape,
            check_hides(self.ratio, x.shape[1 if self.mode == "channel" else 2], self.mode),
            mode=self.mode,
            size=self.size,
            per_channel=self.per_channel,
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=x.device,
        )
        return reconstruct(self, self.head, x, hidden, batch.lengths)[0], {}


def reconstruct(
    method: Method, head: nn.Module, x: Tensor, hidden: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The loss of rebuilding hidden steps of x (N, C, T), and the features (N, F, 1, L) of the
    rest. Of padding nothing is rebuilt."""
    encoder: Any = method.encoder
    if lengths is not None:
        hidden = hidden & over(x, lengths)
    h = method.encode(masking.fill(x, hidden), encoder.feature_map, lengths)
    rebuilt = interpolate(head(h.squeeze(2)), x.shape[-1], mode="linear")
    return masking.masked_loss(rebuilt, x.detach(), hidden), h


class Steps(nn.Module):
    """(N, F, L) -> (N, C, 8 L): every feature becomes 8 steps."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(features, 8 * channels, 1)

    @classmethod
    def of(cls, encoder: nn.Module) -> "Steps":
        """For the feature map of an encoder with `channels`."""
        channels: Any = encoder.channels
        return cls(out_features(encoder) // 2, channels)

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = self.linear(h)
        return y.reshape(len(y), -1, 8, y.shape[-1]).transpose(2, 3).flatten(2)
