"""Texts without a download: hashed words and parts of words."""

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks


def ngrams(text: str, size: int = 3) -> list[str]:
    """The words of a text in lower case, each as <word>, and all runs of `size` characters of
    these: "up" gives "<up>", "<up", "up>"."""
    words = [f"<{word}>" for word in re.findall(r"\w+", text.lower())]
    parts = [w[i : i + size] for w in words for i in range(len(w) - size + 1)]
    return words + [p for p in parts if p not in words]


class HashedNgrams(nn.Module):
    """Texts -> (N, width): the mean of a vector for each word and n-gram, through one hidden layer.

    Source: Enriching Word Vectors with Subword Information, 2017. What it knows it learns from the
    texts that it is trained on; words that share parts share vectors, and so may words that meet
    in a bucket (CRC-32, the same on every machine).

    Args:
        width: columns. buckets: rows of the table. size: characters of an n-gram.

    Raises TypeError for one that is no number, ValueError for one below 1.
    """

    def __init__(self, width: int = 128, buckets: int = 4096, size: int = 3) -> None:
        super().__init__()
        for name, value in (("width", width), ("buckets", buckets), ("size", size)):
            checks.at_least(name, value, 1)
        self.out_features, self.buckets, self.size = width, buckets, size
        self.table = nn.EmbeddingBag(buckets, width, mode="mean")
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """A text without a word is what the hidden layer makes of zeros.

        Raises TypeError for what is no sequence of texts.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"texts: {type(texts).__name__}; accepted: a sequence of str")
        rows: list[int] = []
        starts: list[int] = []
        for text in texts:
            starts.append(len(rows))
            rows += [zlib.crc32(p.encode()) % self.buckets for p in ngrams(text, self.size)]
        device = self.table.weight.device
        index, offsets = (torch.tensor(v, dtype=torch.int64, device=device) for v in (rows, starts))
        y: Tensor = self.mix(self.table(index, offsets))
        return y
