"""From a source set with labels to a target set without, by masked features."""

import torch
from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.common import checks
from tsssl_fast.encoders.patch_transformer import positions, transformer
from tsssl_fast.methods.base import Batch, Logs, Method, Views, labels_of, one_view, out_features
from tsssl_fast.methods.multi_task import labelled_loss
from tsssl_fast.methods.tokens import check_hides, check_ratio


class MaskedFeatures(Method):
    """Some steps of a feature map are hidden and rebuilt; what is rebuilt must still be classified.

        h = steps of the encoder;  r = rebuilder(h with hidden steps replaced)
        loss = labelled_loss(classifier(pool(h)), y) + weight labelled_loss(classifier(pool(r)), y')

    y: the labels, of the source rows alone; y' also has, for rows without one, the class of which
    the classifier is sure by `confidence` from the whole map. pool: mean and maximum over steps.

    Source: Masked Feature Modeling Enhances Adaptive Segmentation, 2025: the rebuilder serves
    training alone. Deviation: series are classified, not points.

    Args:
        encoder: with `features` (`encoders.TimeEncoder`).
        classifier: (N, 2 F) -> (N, K).
        rebuilder: (N, L, F) -> (N, L, F).
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden steps. confidence: in (0, 1). weight: >= 0.
    """

    min_batch = 1

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        rebuilder: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        confidence: float = 0.9,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder, self.classifier, self.rebuilder = encoder, classifier, rebuilder
        self.views = views
        self.ratio = check_ratio(ratio)
        if not 0 < confidence < 1:
            raise ValueError(f"confidence: {confidence}; accepted: a number in (0, 1)")
        self.confidence = confidence
        self.weight = checks.non_negative("weight", weight)
        self.token = nn.Parameter(0.02 * torch.randn(out_features(encoder) // 2))

    @classmethod
    def recipe(
        cls, encoder: nn.Module, classes: int, views: Views | None = None, weight: float = 1.0
    ) -> "MaskedFeatures":
        """A linear classifier and a rebuilder of one transformer layer."""
        features = out_features(encoder)
        rebuilder = transformer(features // 2, 1, 1)
        return cls(encoder, nn.Linear(features, classes), rebuilder, views, weight=weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels = labels_of(batch, "adaptation needs some")
        h = self.encode(one_view(self.views, batch), self.steps)
        logits = self.classifier(_pooled(h))
        hidden = masking.random_mask(
            h.shape[:2],
            check_hides(self.ratio, h.shape[1], "steps of the features"),
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=h.device,
        )
        filled = torch.where(hidden[..., None], self.token, h)
        rebuilt = self.rebuilder(filled + positions(h.shape[1], h))
        sure, likeliest = logits.detach().softmax(1).max(1)
        pseudo = torch.where(sure >= self.confidence, likeliest, -1)
        wanted = torch.where(labels >= 0, labels, pseudo)
        supervised = labelled_loss(logits, labels)
        again = labelled_loss(self.classifier(_pooled(rebuilt)), wanted)
        logs = {"supervised": supervised.detach(), "rebuilt": again.detach()}
        return supervised + self.weight * again, logs

    def steps(self, x: Tensor) -> Tensor:
        """(N, L, F)."""
        found: Tensor = self.encoder.features(x).steps  # type: ignore[operator]
        return found


def _pooled(h: Tensor) -> Tensor:
    return torch.cat([h.mean(1), h.amax(1)], dim=1)
