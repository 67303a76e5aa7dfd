"""SS-GAN on time series."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, softplus
from torch.nn.utils.parametrizations import spectral_norm

from tsssl_fast.common import checks
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view, out_features
from tsssl_fast.methods.transform_prediction import TRANSFORMS, Transform, transformed


class Generator(nn.Module):
    """Noise (N, noise) -> series (N, C, T): 8 steps, doubled three times, interpolated to T."""

    def __init__(self, channels: int, noise: int = 64, width: int = 64) -> None:
        super().__init__()
        self.noise = noise
        self.width = width
        self.start = nn.Linear(noise, 8 * width)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(3))
        self.end = nn.Conv1d(width, channels, 5, padding=2)

    def forward(self, z: Tensor, length: int) -> Tensor:
        y = self.start(z).unflatten(1, (self.width, 8))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = torch.relu(norm(conv(interpolate(y, scale_factor=2.0, mode="linear"))))
        series: Tensor = self.end(interpolate(y, length, mode="linear"))
        return series


GENERATOR_LOSSES = ("non-saturating", "minimax")


def generator_loss(logits: Tensor, form: str = "non-saturating") -> Tensor:
    """What a generator minimises of the discriminator's logits (N, ...) of its series
    (Generative Adversarial Nets, 2014):

        "non-saturating": -mean log D;  "minimax": mean log(1 - D), with D = sigmoid(logits)

    Raises ValueError for another form.
    """
    checks.choice("form", form, GENERATOR_LOSSES)
    return softplus(-logits).mean() if form == "non-saturating" else -softplus(logits).mean()


class SSGAN(Method):
    """A discriminator tells series from generated ones, and which transform either went through.

        L_D = -E[log D(x)] - E[log(1 - D(G(z)))] - beta E[log Q(r | x^r)]
        L_G = -E[log D(G(z))]                    - alpha E[log Q(r | G(z)^r)]
        loss = L_D + L_G, of which the discriminator sees L_D alone and the generator L_G alone

    Source: Chen et al., Self-Supervised GANs via Auxiliary Rotation Loss, CVPR 2019, with the
    generator's term in its non-saturating form (Goodfellow et al., NeurIPS 2014). Deviations:
    rotations are the transforms of `TransformPrediction`; D and Q are linear on one encoder; both
    players move in the same step; the output is not squashed by a tanh, because standardised series
    leave [-1, 1].

    Args:
        encoder: (N, C, T) -> (N, F), the body of the discriminator.
        generator: (N, noise), T -> (N, C, T), with an attribute `noise`.
        judge: (N, F) -> (N, 1) logits of D.
        classifier: (N, F) -> (N, K) logits of Q.
        views: augmentation of the series, of which the first view is used, or None.
        alpha, beta: weights of the self-supervised terms.
        transforms: K callables (N, C, T) -> (N, C, T).
        form: of the generator's own term: "non-saturating", or "minimax" as the value function of
            Generative Adversarial Nets, 2014 prints it (`generator_loss`).
    """

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        judge: nn.Module,
        classifier: nn.Module,
        views: Views | None = None,
        alpha: float = 0.2,
        beta: float = 1.0,
        transforms: Sequence[Transform] = TRANSFORMS,
        form: str = "non-saturating",
    ) -> None:
        checks.choice("form", form, GENERATOR_LOSSES)
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.judge = judge
        self.classifier = classifier
        self.views = views
        self.alpha = alpha
        self.beta = beta
        self.transforms = tuple(transforms)
        self.form = form

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        alpha: float = 0.2,
        beta: float = 1.0,
        minimax: float = 0,
    ) -> "SSGAN":
        """A convolutional generator and linear heads, D's with spectral norm 1 as in the paper.

        minimax: 1 for the generator's printed loss.
        """
        features, channels = out_features(encoder), cast(int, encoder.channels)
        judge = spectral_norm(nn.Linear(features, 1))
        classifier = nn.Linear(features, len(TRANSFORMS))
        made = cls(encoder, Generator(channels), judge, classifier, views, alpha, beta)
        made.form = GENERATOR_LOSSES[bool(minimax)]
        return made

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        x = one_view(self.views, batch)
        source = torch.Generator().manual_seed(batch.seed)
        noise: Any = self.generator.noise
        z = torch.randn(len(x), noise, generator=source).to(x)
        r = torch.randint(len(self.transforms), (len(x),), generator=source).to(x.device)
        fake = self.generator(z, x.shape[-1])

        real, told = self.discriminate(x, r)
        unreal, _ = self.discriminate(fake.detach(), None)
        transforms = cross_entropy(told, r)
        loss_d = softplus(-real).mean() + softplus(unreal).mean() + self.beta * transforms
        with self.discriminator_as_it_stands():
            judged, told = self.discriminate(fake, r)
        loss_g = generator_loss(judged, self.form) + self.alpha * cross_entropy(told, r)
        logs = {"discriminator": loss_d, "generator": loss_g, "transforms": transforms}
        return loss_d + loss_g, {name: value.detach() for name, value in logs.items()}

    def discriminate(self, x: Tensor, r: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of D for x and, in one batch with it, of Q for x transformed by r."""
        if r is None:
            return self.judge(self.encode(x)), x
        h, turned = self.encode(torch.cat([x, transformed(x, r, self.transforms)])).chunk(2)
        return self.judge(h), self.classifier(turned)

    @contextmanager
    def discriminator_as_it_stands(self) -> Iterator[None]:
        """Inside, neither the discriminator's weights nor its running statistics learn."""
        parts = (self.encoder, self.judge, self.classifier)
        weights = [p for part in parts for p in part.parameters() if p.requires_grad]
        norms: list[Any] = [
            m for part in parts for m in part.modules() if hasattr(m, "track_running_stats")
        ]
        for weight in weights:
            weight.requires_grad_(False)
        for norm in norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad_(True)
            for norm in norms:
                norm.track_running_stats = True
