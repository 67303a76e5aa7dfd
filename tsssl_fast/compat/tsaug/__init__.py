"""tsaug 0.2.1: `from tsssl_fast.compat.tsaug import TimeWarp, Drift`, numpy arrays (N, T, C).

Plain numpy, without its loops over series; Convolve, Drift and TimeWarp take splines and windows
from scipy. With an integer seed the results are the library's own numbers: every call draws the
same, from numpy's RandomState(seed). None draws from the system's entropy. Kernels, gradients,
tensors and seeds of a step and a sample: `tsssl_fast.augment`.

Where the results differ from its code, on purpose:

* Resize to the length that a series has, or to one step, repeats it as often as asked, where the
  library returns it once: Resize(8, repeats=3) of shape (4, 8) gives 12 series, there 4.
* A drift of a series of one step is 0, there nan.

More than its code takes: Crop and Resize of one series (T,) or of (N, T) return the new length,
where the library raises.
"""

from tsssl_fast.compat.tsaug.base import Augmenter, AugmenterPipe
from tsssl_fast.compat.tsaug.time import Crop, Resize, Reverse, TimeWarp
from tsssl_fast.compat.tsaug.values import AddNoise, Convolve, Drift, Dropout, Pool, Quantize

__all__ = [
    "AddNoise",
    "Augmenter",
    "AugmenterPipe",
    "Convolve",
    "Crop",
    "Drift",
    "Dropout",
    "Pool",
    "Quantize",
    "Resize",
    "Reverse",
    "TimeWarp",
]
