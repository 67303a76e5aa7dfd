"""DINO on time series."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.functional.clustering import Centring, assignment_loss
from tsssl_fast.methods.base import Batch, Logs, Views
from tsssl_fast.methods.base import projector as head_of
from tsssl_fast.methods.prototypes import MultiCrop, Prototypes, used
from tsssl_fast.methods.teacher import MomentumTeacher, MomentumViews, Schedule


class DINO(MomentumViews):
    """Every view predicts how a momentum copy of the network classifies the other views.

        s_v = cosines of projector(encoder(view_v)) with K prototypes;  t_w the momentum copy's
        q_w = softmax((t_w - centre) / teacher_temperature) for the two views w = 1, 2
        loss = mean over w and v != w of cross_entropy(softmax(s_v / temperature), q_w)
        after each step: momentum weights <- m momentum weights + (1 - m) weights

    The running centre keeps one class from taking all, the low temperature of the teacher keeps
    classes from becoming alike. Source: Emerging Properties in Self-Supervised Vision Transformers,
    2021, Algorithm 1. Deviations: crops are stretched to the series' length; few classes; constant
    temperature and momentum unless a schedule is given. Of several processes each has its own
    centre.

    Args: as `Siamese` without loss, and
        prototypes: (N, D) -> (N, K) scores, such as `prototypes.Prototypes`.
        crops: views of short crops beside the two views, >= 0. length: a crop's share of T.
        centring: `functional.clustering.Centring` of K scores, with the teacher's temperature.
        temperature: of the student, > 0.
        momentum: m in [0, 1), or a schedule of `methods.teacher`.

    Raises ValueError naming the argument, and for a batch of one.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        prototypes: nn.Module,
        centring: Centring,
        crops: int = 0,
        length: float | tuple[float, float] = (0.2, 0.5),
        temperature: float = 0.1,
        momentum: float | Schedule = 0.95,
    ) -> None:
        super().__init__(encoder, projector, views, momentum)
        self.prototypes = prototypes
        self.crops = MultiCrop(crops, length)
        self.centring = centring
        self.temperature = checks.positive("temperature", temperature)
        self.momentum_prototypes = MomentumTeacher(prototypes, momentum)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        clusters: float = 64,
        crops: float = 2,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.95,
    ) -> "DINO":
        """A 256-128 projector, few classes, two crops, a fast teacher, as suit small data sets."""
        heads = head_of(encoder), views, Prototypes(128, int(clusters))
        centring = Centring(
            int(clusters), checks.positive("teacher_temperature", teacher_temperature)
        )
        return cls(
            encoder, *heads, centring, int(crops), temperature=temperature, momentum=momentum
        )

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x, lengths = self.crops(self.views, batch)
        of_two = 2 * len(batch.x)
        h = self.encode(x, lengths=lengths)
        scores = self.prototypes(self.projector(h)).unflatten(0, (self.crops.n_views, -1))
        given = None if lengths is None else lengths[:of_two]
        taught = self.momentum_prototypes(self.keys(x[:of_two], given))
        assignments = self.centring(taught).unflatten(0, (2, -1))
        loss = assignment_loss(scores, assignments, self.temperature)
        entropy = torch.special.entr(assignments).sum(-1).mean()
        return loss, {"teacher_entropy": entropy, "prototypes_used": used(assignments)}

    def after_step(self) -> None:
        super().after_step()
        self.momentum_prototypes.update(self.prototypes)
