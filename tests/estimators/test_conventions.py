"""The libraries' own checks of estimators, with default settings.

One of each kind; all of them, and nothing skipped, by

    SCIPY_ARRAY_API=1 TSSSL_ESTIMATORS=all pytest tests/estimators/test_conventions.py
"""

import os
import warnings

import aeon.testing.estimator_checking as of_aeon
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from tsssl_fast import estimators
from tsssl_fast.estimators import aeon as collections

EVERY = os.environ.get("TSSSL_ESTIMATORS") == "all"
NAMES = (
    estimators.__all__
    if EVERY
    else ["Augment", "GeneratedEncoder", "SimCLREncoder", "SSLClassifier"]
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The checks' series are so few that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        # The checks give what makes scikit-learn and torch warn.
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(before)


# torch.empty of the checks' trainings is not filled with NaN: 2 of 12 s.
@pytest.mark.clean_memory
@parametrize_with_checks([getattr(estimators, name)() for name in NAMES])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.clean_memory
@of_aeon.parametrize_with_checks([getattr(collections, name) for name in NAMES])
def test_aeons_checks(check):
    check()
