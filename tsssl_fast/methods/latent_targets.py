"""Masked methods whose targets are features: data2vec, iBOT, CAE, SdAE."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, smooth_l1_loss

from tsssl_fast.common import checks
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.encoders.patch_transformer import positions, transformer
from tsssl_fast.functional.clustering import Centring, assignment_loss
from tsssl_fast.masking import gather, keep_indices
from tsssl_fast.methods.base import Batch, Logs, Views, stacked_views
from tsssl_fast.methods.teacher import MomentumTeacher, Schedule
from tsssl_fast.methods.tokens import Decoding, OfTokens, Taught, check_encoder, hidden_patches


def layer_outputs(encoder: PatchTransformer, tokens: Tensor) -> list[Tensor]:
    """(N, L, W) of every layer, without the last normalisation."""
    found = []
    for layer in list(encoder.blocks)[:-1]:
        tokens = layer(tokens)
        found.append(tokens)
    return found


class Data2Vec(Taught):
    """From a series with hidden patches, what a teacher that sees all of it makes of them.

        t = mean over the teacher's last K layers of layer_norm(layer(all tokens)), normalised
        loss = mean over hidden tokens of smooth_l1(head(encoder(tokens with hidden replaced)), t)

    Source: data2vec: A General Framework for Self-supervised Learning in Speech, Vision and
    Language, 2022. Deviation: layers' outputs, where those of their feed-forward part are averaged.

    Args:
        encoder: a PatchTransformer. views: augmentation, the first view is used, or None.
        ratio: share of hidden patches. layers: K >= 1. beta: where the error turns linear.
        momentum: of the teacher, in [0, 1), or a schedule of `methods.teacher`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        layers: int = 2,
        beta: float = 1.0,
        momentum: float | Schedule = 0.99,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        depth, width = len(self.encoder.blocks) - 1, self.encoder.width
        if not 1 <= layers <= depth:
            raise ValueError(f"layers: {layers}; accepted: 1 to the encoder's {depth}")
        self.layers = layers
        self.beta = checks.positive("beta", beta)
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.head = nn.Linear(width, width)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.5,
        layers: float = 0,
        momentum: float = 0.99,
    ) -> "Data2Vec":
        """layers: 0 for the upper half of the encoder's."""
        half = -(-(len(check_encoder(encoder).blocks) - 1) // 2)
        return cls(encoder, views, ratio, int(layers) or half, momentum=momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        target = self.targets(patches)
        predicted = self.head(self.filled(patches, hidden))
        loss = smooth_l1_loss(predicted[hidden], target[hidden], beta=self.beta)
        return loss, {"spread": target.std((0, 1), correction=0).mean()}

    @torch.no_grad()
    def targets(self, patches: Tensor) -> Tensor:
        """(N, L, W): constants."""
        teacher: Any = self.teacher.module
        every = layer_outputs(teacher, teacher.embed(patches))[-self.layers :]
        width = (every[0].shape[-1],)
        return layer_norm(torch.stack([layer_norm(h, width) for h in every]).mean(0), width)


class IBOT(Taught):
    """Hidden tokens are assigned to the prototypes to which a teacher that sees them assigns them;
    and so are whole series, from one view to the other.

        p = softmax(head(student) / tau);  q = centred, sharpened softmax of the teacher's scores
        loss = mean over hidden tokens of cross_entropy(q_token, p_token)
               + cross-view cross-entropy of the pooled scores (`clustering.assignment_loss`)

    Source: iBOT: Image BERT Pre-Training with Online Tokenizer, 2022. Deviations: the mean over
    tokens in the place of a class token; one head for both.

    Args: as `Data2Vec`, but
        clusters: prototypes K. temperature: tau of the student; the teacher's is 0.04.
    """

    min_batch = 2

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        ratio: float = 0.3,
        clusters: int = 256,
        temperature: float = 0.1,
        momentum: float | Schedule = 0.99,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        width = self.encoder.width
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, clusters, bias=False)
        )
        self.teacher_head = MomentumTeacher(self.head, momentum)
        self.of_tokens, self.of_series = Centring(clusters), Centring(clusters)
        self.temperature = checks.positive("temperature", temperature)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        ratio: float = 0.3,
        clusters: float = 256,
        momentum: float = 0.99,
    ) -> "IBOT":
        """A head of `clusters` classes, shared by series and patches."""
        return cls(encoder, views, ratio, int(clusters), momentum=momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        assert self.views is not None
        patches = self.encoder.patches(stacked_views(self.views, batch))
        hidden = hidden_patches(batch, patches.shape[1], self.ratio, views=2).flatten(0, 1)
        h, whole = self.filled(patches, hidden), self.taught(patches)
        with torch.no_grad():
            tokens_to = self.of_tokens(self.teacher_head(whole[hidden]))
            series_to = self.of_series(self.teacher_head(whole.mean(1)))
        scores = self.head(h[hidden])
        local = -(tokens_to * (scores / self.temperature).log_softmax(1)).sum(1).mean()
        views = self.head(h.mean(1)).unflatten(0, (2, -1))
        across = assignment_loss(views, series_to.unflatten(0, (2, -1)), self.temperature)
        return local + across, {"tokens": local.detach(), "series": across.detach()}

    def after_step(self) -> None:
        super().after_step()
        self.teacher_head.update(self.head)


class SdAE(Decoding, Taught):
    """A student sees some patches and decodes features of the hidden ones; a teacher makes these
    of the hidden patches alone.

        y = decoder([blocks(visible), m, m, ...] in their places)
        loss = mean over hidden tokens of |head(y) - layer_norm(teacher(hidden patches))|^2 / width

    Source: SdAE: Self-distillated Masked Autoencoder, 2022. Deviation: the teacher sees the hidden
    patches at once, not in several folds.

    Args: as `Data2Vec`, but
        width: of the decoder, a transformer layer.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        ratio: float = 0.75,
        width: int = 64,
        momentum: float | Schedule = 0.96,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        self.narrow = nn.Linear(self.encoder.width, width)
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.decoder = transformer(width, 1, 4)
        self.head = nn.Linear(width, self.encoder.width)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.75,
        momentum: float = 0.96,
    ) -> "SdAE":
        """The decoder of the class's defaults; `ratio` of the patches hidden."""
        return cls(encoder, views, ratio, momentum=momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        keep, away = keep_indices(hidden), keep_indices(~hidden)
        tokens = self.encoder.embed(patches)
        visible = self.encode(gather(tokens, keep), self.encoder.blocks)
        predicted = gather(self.decoded(visible, keep, hidden.shape[1]), away)
        with torch.no_grad():
            teacher: Any = self.teacher.module
            target = self.encode(gather(teacher.embed(patches), away), teacher.blocks)
            target = layer_norm(target, target.shape[-1:])
        return (predicted - target).square().mean(), {}


class CAE(OfTokens):
    """A regressor guesses the features of hidden patches from those of visible ones; a decoder
    makes patches of the guesses.

        g = regressor(queries at the hidden places, attending to blocks(visible))
        loss = mean of (head(decoder(g)) - hidden patches)^2 + weight mean of (g - blocks(hidden))^2

    The features of the hidden patches are constants. Source: Context Autoencoder for
    Self-Supervised Representation Learning, 2022. Deviation: the decoder's targets are the patches'
    values, not words of a codebook.

    Args: as `Data2Vec`, but
        weight: of the alignment, >= 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        weight: float = 2.0,
    ) -> None:
        super().__init__(encoder, views, ratio)
        tokens = self.encoder
        self.weight = checks.non_negative("weight", weight)
        width = tokens.width
        self.query = nn.Parameter(0.02 * torch.randn(width))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.regressor = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.decoder = transformer(width, 1, 4)
        self.head = nn.Linear(width, tokens.channels * tokens.patch)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.5, weight: float = 2.0
    ) -> "CAE":
        """`ratio` of the patches hidden; `weight` of the aligned features."""
        return cls(encoder, views, ratio, weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        keep, away = keep_indices(hidden), keep_indices(~hidden)
        tokens = self.encoder.embed(patches)
        seen = self.encode(gather(tokens, keep), self.encoder.blocks)
        with torch.no_grad():
            target = self.encode(gather(tokens, away), self.encoder.blocks)
        places = positions(tokens.shape[1], tokens).expand_as(tokens)
        queries = self.query + gather(places, away)
        found, _ = self.attention(queries, seen, seen, need_weights=False)
        guess = found + self.regressor(found)
        at = gather(places, away)
        rebuilt = self.head(self.decoder(guess + at))
        reconstruction = (rebuilt - gather(patches, away).detach()).square().mean()
        aligned = (guess - target).square().mean()
        logs = {"reconstruction": reconstruction.detach(), "alignment": aligned.detach()}
        return reconstruction + self.weight * aligned, logs
