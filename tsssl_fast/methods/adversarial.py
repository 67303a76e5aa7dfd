"""Training that withstands small changes of its input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.common import checks
from tsssl_fast.functional import projected_gradient
from tsssl_fast.methods.base import Batch, Logs, Method, labels_of, out_features
from tsssl_fast.methods.transform_prediction import TRANSFORMS, Transform, transformed


class AdversarialTraining(Method):
    """Labels, and the transform that a series went through, are to be told from the series that
    confuses both most.

        x' = argmax over |d| <= radius of loss(x + d), by projected gradients
        loss(x) = CE(classifier(encoder(x)), y) + weight CE(guesser(encoder(T_r(x))), r)

    Source: Using Self-Supervised Learning Can Improve Model Robustness and Uncertainty, 2019.
    Deviations: one transform r a series and step, of `TransformPrediction`, in the place of all
    four rotations; batch statistics stand still while x' is sought.

    Args:
        encoder: (N, C, T) -> (N, F). classifier: (N, F) -> (N, classes) logits.
        guesser: (N, F) -> (N, K) logits of the K transforms.
        radius, steps, step: of `projected_gradient`; radius a number or (C, 1).
        weight: of the self-supervised term, >= 0.
        transforms: K callables (N, C, T) -> (N, C, T).
    """

    needs_labels = True

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        guesser: nn.Module,
        radius: float | Tensor = 0.5,
        steps: int = 4,
        step: float = 0.4,
        weight: float = 0.5,
        transforms: Sequence[Transform] = TRANSFORMS,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.guesser = guesser
        self.radius = radius
        self.steps = steps
        self.step = step
        self.weight = checks.non_negative("weight", weight)
        self.transforms = tuple(transforms)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, classes: int, radius: float | Tensor = 0.5, weight: float = 0.5
    ) -> "AdversarialTraining":
        """Linear heads on an encoder that has `out_features`."""
        classifier, guesser = (
            nn.Linear(out_features(encoder), k) for k in (classes, len(TRANSFORMS))
        )
        return cls(encoder, classifier, guesser, radius=radius, weight=weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels = labels_of(batch, "adversarial training needs")
        source = torch.Generator().manual_seed(batch.seed)
        r = torch.randint(len(self.transforms), labels.shape, generator=source).to(labels.device)

        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            h, turned = self.encode(torch.cat([x, transformed(x, r, self.transforms)])).chunk(2)
            return self.classifier(h), cross_entropy(self.guesser(turned), r)

        def total(x: Tensor) -> Tensor:
            logits, guessed = both(x)
            return cross_entropy(logits, labels) + self.weight * guessed

        training = self.training
        self.eval()
        x = projected_gradient(
            total, batch.x, self.radius, steps=self.steps, step=self.step, generator=source
        )
        self.train(training)
        logits, guessed = both(x)
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        loss = cross_entropy(logits, labels) + self.weight * guessed
        return loss, {"robust_accuracy": accuracy, "transforms": guessed.detach()}
