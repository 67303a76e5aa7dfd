"""w2v-BERT: contrast and codes at hidden tokens, in one pass."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from tsssl_fast.common import checks
from tsssl_fast.functional import contrastive_loss
from tsssl_fast.methods.base import Batch, Logs, Views
from tsssl_fast.methods.tokens import OfTokens, check_encoder


class Quantized(NamedTuple):
    """words: (M, D), with a straight-through gradient; codes: (M,) int64; perplexity: 0-d, the
    exponential of the entropy of the mean soft choice: how many words are in use."""

    words: Tensor
    codes: Tensor
    perplexity: Tensor


class GumbelQuantizer(nn.Module):
    """Each row becomes a word of a codebook, by a choice that learns.

        l = linear(x);  code = argmax(l + Gumbel noise) in training, argmax(l) else
        gradient as of softmax((l + noise) / temperature)

    Sources: Categorical Reparameterization with Gumbel-Softmax, 2017; wav2vec 2.0: A Framework for
    Self-Supervised Learning of Speech Representations, 2020, with one group of words here.

    Args:
        inputs: columns of x. words: V. dim: D. temperature: > 0.
    """

    def __init__(self, inputs: int, words: int, dim: int, temperature: float = 1.0) -> None:
        super().__init__()
        checks.at_least("words", words, 2)
        self.temperature = checks.positive("temperature", temperature)
        self.choose = nn.Linear(inputs, words)
        self.codebook = nn.Parameter(torch.rand(words, dim))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Quantized:
        """x: (M, inputs) floating. generator: of the noise, on the CPU; torch's own if None."""
        logits = self.choose(x)
        shifted = logits
        if self.training:
            drawn = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
            drawn = drawn.clamp_min(torch.finfo(torch.float64).tiny)
            shifted = logits - (-drawn.log()).log().to(logits)
        soft = (shifted / self.temperature).softmax(1)
        codes = shifted.argmax(1)
        hard = one_hot(codes, soft.shape[1]).to(soft.dtype)
        words = (hard + soft - soft.detach()) @ self.codebook
        use = logits.softmax(1).mean(0)
        return Quantized(words, codes, (-torch.xlogy(use, use).sum()).exp())


class W2vBERT(OfTokens):
    """Some patches are hidden; lower layers tell each one's word from those of the other hidden
    patches of its series, upper layers name its code.

        q, c = quantizer(patch);  u = lower layers(tokens with hidden ones replaced)
        loss = mean over hidden of InfoNCE(project(u), q; the series' other hidden q)
               + weight mean over hidden of cross_entropy(classifier(upper layers(u)), c)
               + diversity (words - perplexity) / words

    Source: W2v-BERT: Combining Contrastive Learning and Masked Language Modeling for
    Self-Supervised Speech Pre-Training, 2021. Deviations: all other hidden patches of a series are
    distractors; a transformer, where Conformers are stacked; patches are quantised as they are.

    Args:
        encoder: a PatchTransformer with `lower` < depth layers below the upper ones.
        quantizer: of patches (M, channels * patch) -> words of `dim` columns.
        dim: columns of a word. lower: layers of the contrast, >= 1.
        views: augmentation, of which the first view is used, or None.
        ratio: share of hidden patches, of which a series has two or more.
        temperature: tau > 0. weight, diversity: >= 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: GumbelQuantizer,
        dim: int,
        lower: int = 2,
        views: Views | None = None,
        ratio: float = 0.5,
        temperature: float = 0.1,
        weight: float = 1.0,
        diversity: float = 0.1,
    ) -> None:
        super().__init__(encoder, views, ratio)
        tokens = self.encoder
        depth = len(tokens.blocks) - 1
        if not 1 <= lower < max(2, depth):
            most = max(1, depth - 1)
            raise ValueError(f"lower: {lower}; accepted: 1 to {most} of the {depth} layers")
        self.quantizer, self.lower = quantizer, lower
        self.temperature = checks.positive("temperature", temperature)
        self.weight = checks.non_negative("weight", weight)
        self.diversity = checks.non_negative("diversity", diversity)
        self.token = nn.Parameter(0.02 * torch.randn(tokens.width))
        self.project = nn.Linear(tokens.width, dim)
        self.classifier = nn.Linear(tokens.width, len(quantizer.codebook))

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.5,
        words: float = 32,
        weight: float = 1.0,
        diversity: float = 0.1,
    ) -> "W2vBERT":
        """Words of 32 columns; all layers but the last are lower ones."""
        tokens = check_encoder(encoder)
        quantizer = GumbelQuantizer(tokens.channels * tokens.patch, int(words), 32)
        lower = max(1, len(tokens.blocks) - 2)
        more = {"ratio": ratio, "weight": weight, "diversity": diversity}
        return cls(encoder, quantizer, 32, lower, views, **more)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        patches, hidden = self.masked(batch)
        source = torch.Generator().manual_seed(batch.seed)
        found = self.quantizer(patches[hidden], source)
        u = self.encoder.embed(patches, hidden, self.token)
        blocks = self.encoder.blocks
        u = self.encode(u, blocks[: self.lower])
        upper = self.encode(u, blocks[self.lower :])[hidden]
        series = hidden.nonzero()[:, 0]
        each = torch.arange(len(series), device=series.device)
        contrast = contrastive_loss(
            self.project(u[hidden]),
            found.words,
            q_ids=each,
            k_ids=each,
            q_groups=series,
            k_groups=series,
            groups="only_same",
            temperature=self.temperature,
            precision=self.precision,
        )
        logits = self.classifier(upper)
        named = cross_entropy(logits, found.codes)
        words = len(self.quantizer.codebook)
        spare = (words - found.perplexity) / words
        logs = {
            "contrast": contrast,
            "codes": named,
            "perplexity": found.perplexity,
            "code_accuracy": (logits.argmax(1) == found.codes).float().mean(),
        }
        loss = contrast + self.weight * named + self.diversity * spare
        return loss, {name: value.detach() for name, value in logs.items()}
