"""Predicting which transform a series went through: rotation and jigsaw, in one dimension."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.methods.base import Batch, Logs, Method, Views, one_view, out_features

Transform = Callable[[Tensor], Tensor]


def unchanged(x: Tensor) -> Tensor:
    return x


def time_reversed(x: Tensor) -> Tensor:
    return x.flip(-1)


def sign_flipped(x: Tensor) -> Tensor:
    return -x


def halves_swapped(x: Tensor) -> Tensor:
    """The jigsaw of two pieces: (N, C, T) with the second half first."""
    return x.roll(x.shape[-1] // 2, -1)


# Four classes, as rotation prediction has four angles. Functions of the module, for pickles.
TRANSFORMS: tuple[Transform, ...] = (unchanged, time_reversed, sign_flipped, halves_swapped)


def transformed(x: Tensor, k: Tensor, transforms: Sequence[Transform]) -> Tensor:
    """Row i of x (N, C, T) after transform k[i]."""
    y = x
    for index, transform in enumerate(transforms):
        y = torch.where((k == index)[:, None, None], transform(x), y)
    return y


class TransformPrediction(Method):
    """Each series goes through one of K transforms, drawn from the step's seed; guess which.

        k_i uniform in 0..K-1;  loss = cross_entropy(classifier(encoder(transform_{k_i}(x_i))), k_i)

    Source: Gidaris et al., ICLR 2018 (rotations); Noroozi and Favaro, ECCV 2016 (jigsaw).
    Deviation: a series has no angle; as it stands, time reversed, sign flipped and halves swapped
    take the place of the four rotations.

    Args:
        encoder: (N, C, T) -> (N, F).
        classifier: (N, F) -> (N, K) logits.
        views: augmentation before the transform, of which the first view is used.
        transforms: K callables (N, C, T) -> (N, C, T).
    """

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        views: Views,
        transforms: Sequence[Transform] = TRANSFORMS,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.views = views
        self.transforms = tuple(transforms)

    @classmethod
    def recipe(cls, encoder: nn.Module, views: Views) -> "TransformPrediction":
        """A linear classifier of the four transforms on an encoder that has `out_features`."""
        return cls(encoder, nn.Linear(out_features(encoder), len(TRANSFORMS)), views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = one_view(self.views, batch)
        generator = torch.Generator().manual_seed(batch.seed)
        k = torch.randint(len(self.transforms), (len(x),), generator=generator).to(x.device)
        logits = self.classifier(self.encode(transformed(x, k, self.transforms)))
        accuracy = (logits.detach().argmax(1) == k).float().mean()
        return cross_entropy(logits, k), {"transform_accuracy": accuracy}
