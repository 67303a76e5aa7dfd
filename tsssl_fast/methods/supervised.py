"""Supervised training: the baseline beside every method, and full fine-tuning."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.methods.base import Batch, Logs, Method, Views, labels_of, lengths_of, out_features


class Supervised(Method):
    """loss = cross_entropy(classifier(encoder(view(x))), label), averaged over the views.

    From a random encoder this is the supervised baseline; from a pre-trained one, full fine-tuning.

    Args:
        encoder: (N, C, T) -> (N, F).
        classifier: (N, F) -> (N, classes) logits.
        views: x, seed, sample_ids -> (V, N, C, T), or None to train on the series as they are.
        smoothing: label smoothing in [0, 1).
    """

    needs_labels = True
    takes_lengths = True

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        views: Views | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.views = views
        self.smoothing = smoothing

    @classmethod
    def recipe(cls, encoder: nn.Module, classes: int, views: Views | None = None) -> "Supervised":
        """A linear classifier on an encoder that has `out_features`."""
        return cls(encoder, nn.Linear(out_features(encoder), classes), views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels, lengths = labels_of(batch, "supervised training needs"), batch.lengths
        x = batch.x
        if self.views is not None:
            ids = batch.sample_ids
            views = self.views(x, views=2, seed=batch.seed, sample_ids=ids, **lengths_of(batch))
            x, labels = views.flatten(0, 1), labels.repeat(len(views))
            lengths = None if lengths is None else lengths.repeat(len(views))
        logits = self.classifier(self.encode(x, lengths=lengths))
        loss = cross_entropy(logits, labels, label_smoothing=self.smoothing)
        return loss, {"train_accuracy": (logits.argmax(1) == labels).float().mean()}
