"""Encoders: series (N, C, T) -> features (N, out_features).

Any `nn.Module` with that signature and an `out_features` attribute will do; these are the ones that
the command line knows by name. They also take `lengths` and have `features`, which is what export,
embedding and the estimators rest on; README.md has the whole contract and why it is as it is.

Convolutions are computed as `conv2d` with H = 1 in channels_last, measured 1.3 to 1.8 times faster
than `conv1d` in float32 on CPU. Forward and backward of 512 series of 9 channels and 128 steps, in
units of `resnet` in bfloat16 (one thread, AVX-512 with bfloat16;
`benchmarks/experiments/encoders.py` prints it for your machine):

| encoder             | parameters | float32 | bfloat16 | for                                    |
| ------------------- | ---------- | ------- | -------- | -------------------------------------- |
| `resnet`            | 177k       | 1.6     | 1        | short series                           |
| `inception`         | 225k       | 6.9     | 3.8      | series where the receptive field tells |
| `causal`            | 145k       | 12      | 5.1      | features that look back only           |
| `patch_transformer` | 234k       | 2.2     | 1.7      | masked methods                         |

`channelwise`, 101k parameters, sees every channel as a series of its own, and costs so often.
`scattering`, 38k parameters, computes wavelets' moduli and learns an adapter, for few series.
"""

from typing import Any, Protocol

from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.encoders.attention import CrossAttention, SigmoidWeighting
from tsssl_fast.encoders.causal import Causal
from tsssl_fast.encoders.channelwise import Channelwise
from tsssl_fast.encoders.features import Features, Stage, TimeEncoder
from tsssl_fast.encoders.inception import Inception
from tsssl_fast.encoders.patch_transformer import PatchTransformer
from tsssl_fast.encoders.readout import ReadOut
from tsssl_fast.encoders.resnet import ResNet
from tsssl_fast.encoders.scattering import Scattering
from tsssl_fast.encoders.text import HashedNgrams
from tsssl_fast.encoders.weights import pretrained

__all__ = [
    "ENCODERS",
    "Causal",
    "Channelwise",
    "CrossAttention",
    "Encoder",
    "Features",
    "HashedNgrams",
    "Inception",
    "PatchTransformer",
    "ReadOut",
    "ResNet",
    "Scattering",
    "SigmoidWeighting",
    "Stage",
    "TimeEncoder",
    "build",
    "pretrained",
    "resolve",
]

ENCODERS: dict[str, type[nn.Module]] = {
    "resnet": ResNet,
    "inception": Inception,
    "causal": Causal,
    "channelwise": Channelwise,
    "patch_transformer": PatchTransformer,
    "scattering": Scattering,
}


class Encoder(Protocol):
    """What a method needs of an encoder; an `nn.Module` in practice.

    A call takes series x, (N, C, T) floating, and gives features, (N, out_features).
    """

    out_features: int

    def __call__(self, x: Tensor) -> Tensor: ...


def resolve(name: str, length: int, tokens: bool = False) -> str:
    """The encoder that "auto" stands for: "inception" from 192 steps on, "resnet" below; or
    "patch_transformer" for methods that work on tokens. Another name stays. length: steps, T.

    On long series the receptive field was the only visible lever (UWaveGestureLibrary, 315 steps);
    on 128 steps Inception is 3 times the cost for the same accuracy (UCI HAR).
    """
    if name == "auto":
        if tokens:
            return "patch_transformer"
        return "inception" if length >= 192 else "resnet"
    return name


def build(name: str, channels: int, length: int, **options: Any) -> nn.Module:
    """The encoder `name` (or "auto") for series of `channels` and about `length` steps.

    Raises ValueError for an unknown name.
    """
    name = resolve(name, length)
    checks.choice("encoder", name, ("auto", *ENCODERS))
    if name == "inception":
        options.setdefault("stride", max(1, round(length / 80)))
    if name == "patch_transformer":
        options.setdefault("patch", max(1, round(length / 12)))
    return ENCODERS[name](channels, **options)
