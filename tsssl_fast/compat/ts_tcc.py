"""TS-TCC (emadeldeen24/TS-TCC): its contrastive loss (models/loss.py) and its augmentations
(dataloader/augmentations.py).

Where the results differ from its code, on purpose; a and b are torch.randn(8, 16) in float64, drawn
one after the other from torch.manual_seed(0):

* The loss of 16-bit inputs is computed in float32 and rounded once at the end: of a and b in
  float16 with cosines at temperature 0.2 it is 3.41992, there 3.42188; in float64 it is 3.42039.

More than its code takes: `permutation` has segments of different lengths, for which the code raises
since numpy 1.24.

The augmentations are what the code does, indexing errors included: `scaling` draws a factor around
2 for every step and not for every channel, `permutation` copies channel 0 into all channels. What
was meant is `tsssl_fast.augment.presets.ts_tcc()`. They run on the kernels; the one number that
they take from numpy's global stream, which `numpy.random.seed` governs, is their seed.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsssl_fast import augment, functional
from tsssl_fast.common import checks
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import pair, result
from tsssl_fast.ops.augment.spec import MAX_SEGMENTS

__all__ = ["DataTransform", "NTXentLoss", "jitter", "permutation", "scaling"]

Array = np.ndarray[Any, Any]


class NTXentLoss(DeclaredModule):
    """NT-Xent; see :func:`tsssl_fast.functional.nt_xent_loss`.

    Args:
        device: taken from the inputs. batch_size: N, of every call.
        temperature: > 0. use_cosine_similarity: False: dot products.

    forward(zis, zjs): (N, D), (N, D) -> scalar in the inputs' dtype.
    """

    device: Any
    batch_size: int
    temperature: float
    use_cosine_similarity: bool

    def forward(self, zis: Tensor, zjs: Tensor) -> Tensor:
        zis, zjs = pair(("zis", "zjs"), zis, zjs)
        if len(zis) != self.batch_size:
            raise ValueError(f"zis: {len(zis)} rows; accepted: batch_size = {self.batch_size}")
        loss = functional.nt_xent_loss(
            zis, zjs, temperature=self.temperature, normalize=self.use_cosine_similarity
        )
        return result(loss, zis)


def DataTransform(sample: Tensor | Array, config: Any) -> tuple[Array, Tensor]:
    """The weak view, scaled, and the strong one, permuted and with noise.

    Args:
        sample: (N, C, T), a tensor or an array.
        config: with `augmentation.jitter_scale_ratio`, `augmentation.max_seg` and
            `augmentation.jitter_ratio`, as of :func:`scaling`, :func:`permutation`, :func:`jitter`.

    Returns:
        A float64 array and a float64 tensor, (N, C, T).

    Raises TypeError, ValueError as these three.
    """
    weak = scaling(sample, config.augmentation.jitter_scale_ratio)
    shuffled = permutation(sample, max_segments=config.augmentation.max_seg)
    strong = jitter(shuffled, config.augmentation.jitter_ratio)
    assert isinstance(strong, Tensor)
    return weak, strong


def jitter(x: Any, sigma: float = 0.8) -> Any:
    """x + sigma r, r standard normal; float64. (N, C, T), a tensor or an array, as the result."""
    y = _augmented(augment.Jitter(magnitude=checks.non_negative("sigma", sigma)), x)
    return y if isinstance(x, Tensor) else y.numpy()


def scaling(x: Tensor | Array, sigma: float = 1.1) -> Array:
    """f_t x[c, t], f_t normal with mean 2 and deviation sigma, of a step of every sample.

    x: (N, C, T), a tensor or an array; the result is a float64 array of that shape. Raises
    TypeError, ValueError for a sigma that is no number >= 0.
    """
    scale = augment.Scale(magnitude=checks.non_negative("sigma", sigma), form="literal")
    scaled: Array = _augmented(scale, x).numpy()
    return scaled


def permutation(x: Tensor | Array, max_segments: int = 5, seg_mode: str = "random") -> Tensor:
    """1 to max_segments - 1 segments of channel 0 in random order, in every channel; a sample of
    one segment stays.

    Args:
        x: (N, C, T). max_segments: 2 to 65. seg_mode: "random" borders; anything else, parts
            whose lengths differ by one step at most.

    Returns: a tensor in the dtype of x. Raises ValueError for max_segments out of range.
    """
    if not 2 <= max_segments <= MAX_SEGMENTS + 1:
        raise ValueError(f"max_segments: {max_segments}; accepted: 2 to {MAX_SEGMENTS + 1}")
    segments = (1, max_segments - 1)
    series = torch.as_tensor(x)
    if seg_mode == "random":
        shuffle = augment.SegmentPermutation(segments, form="literal")
        return _augmented(shuffle, series, series.dtype)
    operation = augment.SegmentPermutation(segments)
    params = operation.sample(*series.shape, seed=_seed())
    moved = params.apply(series[:, :1].expand(series.shape))[0]
    several = params[0]["segments"][0] > 1
    return torch.where(several[:, None, None], moved, series)


def _augmented(
    operation: augment.Transform, x: Tensor | Array, dtype: torch.dtype = torch.float64
) -> Tensor:
    y: Tensor = operation(torch.as_tensor(x).to(dtype), seed=_seed())
    return y


def _seed() -> int:
    return int(np.random.randint(1 << 63, dtype=np.int64))  # noqa: NPY002  the library's stream
