"""Supervised training: the baseline beside every method, and full fine-tuning."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.common import checks
from tsssl_fast.functional import core_tuning_loss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, labels_of, lengths_of, out_features


class Supervised(Method):
    """Cross-entropy of the labels, averaged over the views, with a contrast of labels where asked:

        h = encoder(view(x));  loss = cross_entropy(classifier(h), label)
                                      + contrast core_tuning_loss(h, label)

    From a random encoder this is the supervised baseline; from a pre-trained one, full fine-tuning.
    The contrast is of Unleashing the Power of Contrastive Self-Supervised Visual Models via
    Contrast-Regularized Fine-Tuning, 2021; here it has no head of its own.

    Args:
        encoder: (N, C, T) -> (N, F).
        classifier: (N, F) -> (N, classes) logits.
        views: x, seed, sample_ids -> (V, N, C, T), or None to train on the series as they are.
        smoothing: label smoothing in [0, 1).
        contrast: weight of the contrast, >= 0.
    """

    needs_labels = True
    takes_lengths = True

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        views: Views | None = None,
        smoothing: float = 0.0,
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.views = views
        self.smoothing = smoothing
        self.contrast = checks.non_negative("contrast", contrast)
        self.kept: tuple[nn.Module, ...] = ()

    @classmethod
    def recipe(cls, encoder: nn.Module, classes: int, views: Views | None = None) -> "Supervised":
        """A linear classifier on an encoder that has `out_features`."""
        return cls(encoder, nn.Linear(out_features(encoder), classes), views)

    def keep(self, parts: Iterable[nn.Module]) -> None:
        """From here on these parts of the encoder stay as they are: their weights, and the
        statistics that they normalise by."""
        self.kept = tuple(parts)
        for part in self.kept:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Supervised":
        super().train(mode)
        for part in self.kept:
            part.eval()
        return self

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels, lengths = labels_of(batch, "supervised training needs"), batch.lengths
        x = batch.x
        if self.views is not None:
            ids = batch.sample_ids
            views = self.views(x, views=2, seed=batch.seed, sample_ids=ids, **lengths_of(batch))
            x, labels = views.flatten(0, 1), labels.repeat(len(views))
            lengths = None if lengths is None else lengths.repeat(len(views))
        h = self.encode(x, lengths=lengths)
        logits = self.classifier(h)
        loss = cross_entropy(logits, labels, label_smoothing=self.smoothing)
        if self.contrast:
            source = torch.Generator(h.device).manual_seed(batch.seed)
            loss = loss + self.contrast * core_tuning_loss(
                h, labels, generator=source, precision=self.precision
            )
        return loss, {"train_accuracy": (logits.argmax(1) == labels).float().mean()}
