"""NNCLR on time series."""

from torch import Tensor, nn

from tsssl_fast.functional import nnclr_loss
from tsssl_fast.losses import FeatureQueue
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment, mlp
from tsssl_fast.methods.base import projector as head_of


class NNCLR(Siamese):
    """The nearest past embedding of one view is the positive of the other view's prediction.

        z_i = projector(encoder(view_i));  p_i = predictor(z_i)
        loss = (nnclr(nn(z_1), p_2) + nnclr(nn(z_2), p_1)) / 2; z_1 enters the queue

    Source: With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual
    Representations, 2021. A queue longer than the training set holds earlier embeddings of the row
    itself, which are then its neighbours. With several processes each has its own queue.

    Args: as `Siamese` without loss, and
        predictor: (N, D) -> (N, D).
        queue: of columns D.
        temperature: tau > 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        predictor: nn.Module,
        queue: FeatureQueue,
        temperature: float = 0.2,
    ) -> None:
        super().__init__(encoder, projector, views, None)
        self.predictor = predictor
        self.queue = queue
        self.temperature = temperature

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, temperature: float = 0.2, queue: int = 256
    ) -> "NNCLR":
        """A 256-128 projector, a 256-128 predictor, a short queue, as suit small data sets."""
        memory = FeatureQueue(128, int(queue))
        return cls(encoder, head_of(encoder), views, mlp(128, 256, 128), memory, temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z = self.embed(batch)
        (z1, z2), (p1, p2) = z.chunk(2), self.predictor(z).chunk(2)
        found = [
            nnclr_loss(
                *(a, b, self.queue.features),
                queue_valid=self.queue.valid(),
                temperature=self.temperature,
                symmetric=False,
                precision=self.precision,
            )
            for a, b in ((z1, p2), (z2, p1))
        ]
        if self.training:
            self.queue.push(z1.detach())
        return (found[0] + found[1]) / 2, {"alignment": alignment(z1, z2)}
