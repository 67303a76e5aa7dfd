"""Masked methods whose targets are features: data2vec, iBOT, CAE, SdAE."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, normalize, smooth_l1_loss

from tsssl_fast.common import checks
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.encoders.patch_transformer import positions, transformer
from tsssl_fast.functional import clustering
from tsssl_fast.functional.clustering import Centring, assignment_loss
from tsssl_fast.masking import gather, keep_indices, restore
from tsssl_fast.methods.base import Batch, Logs, Method, Views, one_view, stacked_views
from tsssl_fast.methods.teacher import MomentumTeacher, Schedule
from tsssl_fast.methods.tokens import check_encoder, check_ratio, hidden_patches


def layer_outputs(encoder: PatchTransformer, tokens: Tensor) -> list[Tensor]:
    """(N, L, W) of every layer, without the last normalisation."""
    found = []
    for layer in list(encoder.blocks)[:-1]:
        tokens = layer(tokens)
        found.append(tokens)
    return found


class _Masked(Method):
    """Encoder of tokens, which of them are hidden, and a momentum teacher of the encoder."""

    encoder: PatchTransformer
    min_batch = 1

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None,
        ratio: float,
        momentum: float | Schedule,
    ) -> None:
        super().__init__()
        self.encoder = tokens = check_encoder(encoder)
        self.views = views
        self.ratio = check_ratio(ratio)
        self.teacher = MomentumTeacher(tokens, momentum)

    def masked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(N, L, P) patches of one view, (N, L) bool which are hidden."""
        patches = self.encoder.patches(one_view(self.views, batch))
        return patches, hidden_patches(batch, patches.shape[1], self.ratio)[0]

    def after_step(self) -> None:
        self.teacher.update(self.encoder)


class Data2Vec(_Masked):
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
        h = self.encode(self.encoder.embed(patches, hidden, self.token), self.encoder.blocks)
        predicted = self.head(h)
        loss = smooth_l1_loss(predicted[hidden], target[hidden], beta=self.beta)
        return loss, {"spread": target.std((0, 1), correction=0).mean()}

    @torch.no_grad()
    def targets(self, patches: Tensor) -> Tensor:
        """(N, L, W): constants."""
        teacher: Any = self.teacher.module
        every = layer_outputs(teacher, teacher.embed(patches))[-self.layers :]
        width = (every[0].shape[-1],)
        return layer_norm(torch.stack([layer_norm(h, width) for h in every]).mean(0), width)


class IBOT(_Masked):
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
        tokens = self.encoder.embed(patches, hidden, self.token)
        h = self.encode(tokens, self.encoder.blocks)
        with torch.no_grad():
            teacher: Any = self.teacher.module
            whole = self.encode(teacher.embed(patches), teacher.blocks)
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


class BEiTv2(_Masked):
    """BEiT with words of features: which word of a codebook a teacher's features of each hidden
    token are, by cosine.

        c(token) = the nearest of K unit centres to the teacher's token
        loss = mean over hidden tokens of cross_entropy(classifier(h), c(token))
        in training: a centre moves towards the mean of its tokens by 1 - momentum of the centres

    Source: BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers, 2022.
    Deviations: the teacher is the encoder's own momentum copy, where a foreign model is distilled;
    spherical k-means over the first batch begins the codebook.

    Args: as `Data2Vec`, but
        codes: K. centres_momentum: in [0, 1).
    """

    codebook: Tensor
    fitted: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        codes: int,
        views: Views | None = None,
        ratio: float = 0.4,
        momentum: float | Schedule = 0.99,
        centres_momentum: float = 0.99,
    ) -> None:
        super().__init__(encoder, views, ratio, momentum)
        checks.fraction("centres_momentum", centres_momentum)
        width = self.encoder.width
        self.centres_momentum = centres_momentum
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.classifier = nn.Linear(width, codes)
        self.register_buffer("codebook", torch.zeros(codes, width))
        self.register_buffer("fitted", torch.tensor(False))

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, ratio: float = 0.4, codes: float = 64
    ) -> "BEiTv2":
        """A codebook of `codes` words; `ratio` of the patches hidden."""
        return cls(encoder, int(codes), views, ratio)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        codes = self.codes_of(patches)
        h = self.encode(self.encoder.embed(patches, hidden, self.token), self.encoder.blocks)
        logits = self.classifier(h[hidden])
        accuracy = (logits.detach().argmax(1) == codes[hidden]).float().mean()
        return cross_entropy(logits, codes[hidden]), {"code_accuracy": accuracy}

    @torch.no_grad()
    def codes_of(self, patches: Tensor) -> Tensor:
        """(N, L, P) -> (N, L) int64; begins and moves the codebook in training."""
        teacher: Any = self.teacher.module
        whole = self.encode(teacher.embed(patches), teacher.blocks)
        flat = normalize(whole.flatten(0, 1), dim=1)
        if not self.fitted:
            self.codebook.copy_(clustering.kmeans(flat, len(self.codebook), spherical=True))
            self.fitted.fill_(True)
        centres = self.codebook.to(flat.dtype)
        moved, codes = clustering.kmeans_step(flat, centres, spherical=True)
        if self.training:
            mixed = normalize(torch.lerp(moved, centres, self.centres_momentum), dim=1)
            self.codebook.copy_(mixed)
        return codes.view(patches.shape[:2])


class SdAE(_Masked):
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
        y = restore(self.narrow(visible), keep, hidden.shape[1], self.token)
        predicted = gather(self.head(self.decoder(y + positions(y.shape[1], y))), away)
        with torch.no_grad():
            teacher: Any = self.teacher.module
            target = self.encode(gather(teacher.embed(patches), away), teacher.blocks)
            target = layer_norm(target, target.shape[-1:])
        return (predicted - target).square().mean(), {}


class CAE(Method):
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

    encoder: PatchTransformer
    min_batch = 1

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        ratio: float = 0.5,
        weight: float = 2.0,
    ) -> None:
        super().__init__()
        self.encoder = tokens = check_encoder(encoder)
        self.views = views
        self.ratio = check_ratio(ratio)
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
        patches = self.encoder.patches(one_view(self.views, batch))
        hidden = hidden_patches(batch, patches.shape[1], self.ratio)[0]
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
