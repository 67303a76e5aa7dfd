"""Masked autoencoders of two modalities that agree at every layer."""

import copy

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.functional import clip_loss
from tsssl_fast.masking import gather, keep_indices
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, at_least, one_view
from tsssl_fast.methods.clip import Pair, two_sensors
from tsssl_fast.methods.masked_autoencoder import MaskedAutoencoder
from tsssl_fast.methods.tokens import hidden_patches


class CrossModalMasked(Method):
    """Each modality is rebuilt from its visible patches, and the means of its visible tokens agree
    with the other modality's after every layer.

        loss = mae(a) + mae(b) + weight mean over layers l of CLIP(mean_l(a), mean_l(b))

    Sources: HiCMAE: Hierarchical Contrastive Masked Autoencoder for Self-Supervised Audio-Visual
    Emotion Recognition, 2024 (contrast at several layers); CrossVideoMAE: Self-Supervised
    Image-Video Representation Learning with Masked Autoencoders, 2025 (two streams of one scene).
    Deviations: no fusing layers above both; two sensors of the series in the place of sound and
    pictures.

    Args:
        autoencoders: of the two modalities, with encoders of as many layers and one width.
        weight: of the contrast, >= 0. temperature: tau > 0.
        views: augmentation before both, of which the first view is used, or None.
        pair: (series, batch) -> the two modalities (N, C, T), as of `CLIP`.
    """

    encoder: PatchTransformer

    def __init__(
        self,
        autoencoders: tuple[MaskedAutoencoder, MaskedAutoencoder],
        weight: float = 0.1,
        temperature: float = 0.2,
        views: Views | None = None,
        pair: Pair = two_sensors,
    ) -> None:
        super().__init__()
        self.autoencoders = nn.ModuleList(autoencoders)
        self.encoder = autoencoders[0].encoder
        depths = [len(a.encoder.blocks) for a in autoencoders]
        if depths[0] != depths[1]:
            raise ValueError(
                f"autoencoders: of {depths[0]} and {depths[1]} layers; accepted: equal"
            )
        self.weight = checks.non_negative("weight", weight)
        self.temperature = checks.positive("temperature", temperature)
        self.views, self.pair = views, pair

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.75,
        weight: float = 0.1,
        temperature: float = 0.2,
    ) -> "CrossModalMasked":
        """Two sensors: half of the channels each, a copy of the encoder for the second half."""
        made = [MaskedAutoencoder.recipe(e, None, ratio) for e in (encoder, copy.deepcopy(encoder))]
        return cls((made[0], made[1]), weight, temperature, views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        both = self.pair(one_view(self.views, batch), batch)
        patches = [
            a.encoder.patches(x)  # type: ignore[operator,union-attr]
            for a, x in zip(self.autoencoders, both, strict=True)
        ]
        count = min(p.shape[1] for p in patches)
        ratio: float = self.autoencoders[0].ratio  # type: ignore[assignment]
        hidden = hidden_patches(batch, count, ratio, views=2)
        rebuilt, layers = [], []
        for a, p, away in zip(self.autoencoders, patches, hidden, strict=True):
            assert isinstance(a, MaskedAutoencoder)
            error, means = self.one(a, p, away)
            rebuilt.append(error)
            layers.append(means)
        contrasts = [
            clip_loss(*pair, temperature=self.temperature, precision=self.precision)
            for pair in zip(*layers, strict=True)
        ]
        contrast = torch.stack(contrasts).mean()
        logs = {
            "reconstruction": sum(rebuilt).detach(),  # type: ignore[union-attr]
            "contrast": contrast.detach(),
            "alignment": alignment(layers[0][-1], layers[1][-1]),
        }
        return rebuilt[0] + rebuilt[1] + self.weight * contrast, logs

    def one(
        self, a: MaskedAutoencoder, patches: Tensor, hidden: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The error of one modality, and the mean over its visible tokens after every layer."""
        keep = keep_indices(hidden)
        h, means = gather(a.encoder.embed(patches), keep), []
        *blocks, norm = a.encoder.blocks
        for layer in blocks:
            h = self.encode(h, layer)
            means.append(h.mean(1))
        return a.error(norm(h), keep, patches, hidden), means
