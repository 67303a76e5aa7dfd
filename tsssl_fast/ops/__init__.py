"""Operator families, one folder each. Importing a family registers its operators with torch."""

from tsssl_fast.ops import augment as augment
from tsssl_fast.ops import contrastive as contrastive
from tsssl_fast.ops import decorrelation as decorrelation
from tsssl_fast.ops import masking as masking
from tsssl_fast.ops import preprocess as preprocess
