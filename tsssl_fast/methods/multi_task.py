"""Labels and self-supervision in one step."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from tsssl_fast.common import checks
from tsssl_fast.methods.base import Batch, Logs, Method, Views, labels_of, one_view, out_features
from tsssl_fast.methods.teacher import MomentumTeacher, Schedule
from tsssl_fast.methods.transform_prediction import TransformPrediction


def labelled_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the rows that have a label; 0, with a gradient of 0, where none has.

    Args:
        logits: (N, K).
        labels: (N,) int64 classes, below 0: none; or (N, K) floating targets of several labels in
            [0, 1], of which NaN count for nothing: binary cross-entropy, the mean over all given.

    Raises:
        ValueError: naming labels, for another shape, and for a class beyond the K.
    """
    if labels.shape == logits.shape and labels.is_floating_point():
        given = ~labels.isnan()
        target = torch.where(given, labels, 0.0).to(logits.dtype)
        each = binary_cross_entropy_with_logits(logits, target, reduction="none")
        return torch.where(given, each, 0.0).sum() / given.sum().clamp_min(1)
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        n, k = logits.shape
        raise ValueError(
            f"labels: {labels.dtype} {tuple(labels.shape)}; accepted: int64 ({n},), or floating "
            f"({n}, {k}) of several labels a row"
        )
    if len(labels) and not torch.compiler.is_compiling() and int(labels.max()) >= logits.shape[1]:
        raise ValueError(
            f"labels: {int(labels.max())}; accepted: below the {logits.shape[1]} classes"
        )
    total = cross_entropy(logits, labels.clamp_min(-1), ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp_min(1)


class MultiTask(Method):
    """Cross-entropy of the labelled rows beside a self-supervised loss of all rows:

        loss = labelled_loss(classifier(encoder(view)), labels) + weight method.loss(batch)

    Sources: S4L: Self-Supervised Semi-Supervised Learning, 2019 (with transform prediction);
    Heuristic Vision Pre-Training with Self-Supervised and Supervised Multi-Task Learning, 2023
    (several labels a row, masked modelling, contrast).

    Args:
        method: of whose encoder the features are; several: `MultiTask` of a `MultiTask`.
        classifier: (N, F) -> (N, K) logits.
        views: augmentation of the labelled rows, of which the first view is used, or None.
        weight: of the self-supervised loss, >= 0; 0: it is not computed.
    """

    uses_labels = True

    def __init__(
        self,
        method: Method,
        classifier: nn.Module,
        views: Views | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.method = method
        self.encoder = method.encoder
        self.classifier = classifier
        self.views = views
        self.weight = checks.non_negative("weight", weight)
        self.min_batch = method.min_batch

    @classmethod
    def recipe(
        cls, method: Method, classes: int, views: Views | None = None, weight: float = 1.0
    ) -> "MultiTask":
        """A linear classifier on the method's encoder."""
        return cls(method, nn.Linear(out_features(method.encoder), classes), views, weight)

    @classmethod
    def s4l(
        cls, encoder: nn.Module, views: Views, classes: float = 64, weight: float = 1.0
    ) -> "MultiTask":
        """S4L: beside transform prediction. classes: at least those of the data."""
        method = TransformPrediction.recipe(encoder, views)
        return cls.recipe(method, int(classes), views, weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels = labels_of(batch, "training with labels needs")
        x = one_view(self.views, batch)
        rows = (labels >= 0) if labels.dim() == 1 else ~labels.isnan().all(1)
        logits = self.classifier(self.encode(x))
        supervised = labelled_loss(logits, labels)
        logs = {"supervised": supervised.detach(), "labelled": rows.float().mean()}
        if not self.weight:
            return supervised, logs
        self.method.bf16 = self.bf16
        other, more = self.method.loss(batch)
        return supervised + self.weight * other, {**more, **logs, "self_supervised": other.detach()}

    def after_step(self) -> None:
        self.method.after_step()


class DualMeanTeacher(Method):
    """Two momentum teachers label what they agree on.

        of rows with a label: cross_entropy(classifier_i(encoder_i(view)), label) of both students i
        of others: the class that both teachers find likeliest, where both are at least
        `confidence` sure of it; cross-entropy of both students against it, times weight

    Source: Dual Mean-Teacher: An Unbiased Semi-Supervised Framework for Audio-Visual Source
    Localization, 2024. Deviations: classes of series in the place of maps of sound; the students
    begin from two initialisations. `encoder` is the first student's.

    Args:
        encoders: two (N, C, T) -> (N, F). classifiers: two (N, F) -> (N, K).
        views: what the students see, the first view of each; the teachers see the series.
        confidence: in (0, 1). weight: >= 0. momentum: of the teachers.
    """

    min_batch = 1

    def __init__(
        self,
        encoders: tuple[nn.Module, nn.Module],
        classifiers: tuple[nn.Module, nn.Module],
        views: Views | None = None,
        confidence: float = 0.9,
        weight: float = 1.0,
        momentum: float | Schedule = 0.99,
    ) -> None:
        super().__init__()
        self.encoder = encoders[0]
        self.students = nn.ModuleList(
            nn.Sequential(*pair) for pair in zip(encoders, classifiers, strict=True)
        )
        self.teachers = nn.ModuleList(MomentumTeacher(s, momentum) for s in self.students)
        self.views = views
        if not 0 < confidence < 1:
            raise ValueError(f"confidence: {confidence}; accepted: a number in (0, 1)")
        self.confidence = confidence
        self.weight = checks.non_negative("weight", weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        labels = labels_of(batch, "the teachers need some")
        x = one_view(self.views, batch)
        pseudo = self.consensus(batch.x)
        pseudo = torch.where(labels >= 0, -1, pseudo)
        loss = x.new_zeros(())
        for student in self.students:
            logits = self.encode(x, student)
            loss = loss + labelled_loss(logits, labels) / 2
            loss = loss + self.weight * labelled_loss(logits, pseudo) / 2
        return loss, {"agreed": (pseudo >= 0).float().mean()}

    @torch.no_grad()
    def consensus(self, x: Tensor) -> Tensor:
        """(N,) int64: the class that both teachers are sure of, -1 where there is none."""
        found = []
        for teacher in self.teachers:
            teacher.eval()
            found.append(self.encode(x, teacher).softmax(1).max(1))
        (p1, c1), (p2, c2) = found
        sure = (torch.minimum(p1, p2) >= self.confidence) & (c1 == c2)
        return torch.where(sure, c1, -1)

    def after_step(self) -> None:
        for teacher, student in zip(self.teachers, self.students, strict=True):
            assert isinstance(teacher, MomentumTeacher)
            teacher.update(student)
