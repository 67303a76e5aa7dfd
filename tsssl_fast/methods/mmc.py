"""MMC: masked modelling, self-distillation and contrast against a momentum encoder."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.common import checks
from tsssl_fast.functional import info_nce_loss, negative_cosine_similarity
from tsssl_fast.methods.base import Batch, Logs, Views, alignment, at_least
from tsssl_fast.methods.base import projector as head_of
from tsssl_fast.methods.teacher import MomentumTeacher, Schedule
from tsssl_fast.methods.tokens import Taught


class MMC(Taught):
    """A student sees a series with hidden patches, a momentum teacher all of it.

        h = blocks(tokens with hidden ones replaced);  t = teacher(all tokens)
        loss = mean over hidden of (head(h) - patch)^2
               - distil mean over hidden of cos(predict(h), t)
               + contrast InfoNCE(projector(pool(h)), teacher's projector(pool(t)))

    Source: Masked Momentum Contrastive Learning for Zero-shot Semantic Understanding, 2023. What
    its tokens say without training: `similarity_map`.

    Args:
        encoder: a PatchTransformer. projector: (N, 2 width) -> (N, D).
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden patches. temperature: tau > 0. distil, contrast: weights >= 0.
        momentum: in [0, 1), or a schedule of `methods.teacher`.
    """

    min_batch = 2

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        temperature: float = 0.2,
        distil: float = 1.0,
        contrast: float = 1.0,
        momentum: float | Schedule = 0.99,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        tokens = self.encoder
        self.projector = projector
        self.temperature = checks.positive("temperature", temperature)
        self.distil = checks.non_negative("distil", distil)
        self.contrast = checks.non_negative("contrast", contrast)
        width = tokens.width
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.head = nn.Linear(width, tokens.channels * tokens.patch)
        self.predict = nn.Linear(width, width)
        self.teacher_projector = MomentumTeacher(projector, momentum)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.5,
        distil: float = 1.0,
        contrast: float = 1.0,
        momentum: float = 0.99,
    ) -> "MMC":
        """A 256-128 projector."""
        weights = {"distil": distil, "contrast": contrast, "momentum": momentum}
        return cls(encoder, head_of(encoder), views, ratio, **weights)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        patches, hidden = self.masked(batch)
        h, t = self.filled(patches, hidden), self.taught(patches)
        key = self.teacher_projector(_pooled(t))
        error = (self.head(h[hidden]) - patches[hidden].detach()).square().mean()
        distilled = negative_cosine_similarity(self.predict(h[hidden]), t[hidden])
        q = self.projector(_pooled(h))
        contrast = info_nce_loss(q, key, temperature=self.temperature, precision=self.precision)
        logs = {
            "reconstruction": error.detach(),
            "distilled": distilled.detach(),
            "alignment": alignment(q, key),
        }
        return error + self.distil * distilled + self.contrast * contrast, logs

    def after_step(self) -> None:
        super().after_step()
        self.teacher_projector.update(self.projector)


def _pooled(h: Tensor) -> Tensor:
    return torch.cat([h.mean(1), h.amax(1)], dim=1)


@torch.no_grad()
def similarity_map(tokens: Tensor, query: Tensor, threshold: float | None = None) -> Tensor:
    """How alike every token is to one that is asked for: the zero-shot protocol of Masked Momentum
    Contrastive Learning for Zero-shot Semantic Understanding, 2023.

    Args:
        tokens: (N, L, W). query: (N,) int64, the place of each series' token.
        threshold: None: cosines; else whether they are above it.

    Returns:
        (N, L) cosines in [-1, 1], or bool.

    Raises:
        ValueError: naming the argument.
    """
    if tokens.dim() != 3 or query.shape != tokens.shape[:1]:
        raise ValueError(
            f"tokens, query: shapes {tuple(tokens.shape)}, {tuple(query.shape)}; accepted: "
            "(N, L, W), (N,)"
        )
    u = normalize(tokens, dim=2)
    chosen = u[torch.arange(len(u), device=u.device), query]
    found = (u @ chosen[..., None])[..., 0].clamp(-1, 1)
    return found if threshold is None else found > threshold
