"""Every scikit-learn import that is private or depends on the version, in one place."""

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import _fit_context as fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import validate_data as _validate_data

try:  # scikit-learn >= 1.9, which made the sparse class a setting
    from sklearn.utils import _align_api_if_sparse as follow_sparse_interface
except ImportError:
    follow_sparse_interface = csr_matrix

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:
        """Stand in for scikit-learn's, which gives `set_callbacks`."""

    def with_callbacks(method):
        """Leave a method as it is."""
        return method


_BLOCK_ENTRIES = 2**22


def validate_data(estimator, X, *y, ensure_all_finite=True, **settings):
    """Validate input as scikit-learn does, and look for NaN and infinity block by block.

    scikit-learn takes a byte for every entry to find them among float16, which is half of the
    memory of a matrix that may lie in a file.
    """
    checked = _validate_data(estimator, X, *y, ensure_all_finite=False, **settings)
    if not ensure_all_finite:
        return checked
    rows, name = checked[0] if y else checked, type(estimator).__name__
    step = max(1, _BLOCK_ENTRIES // rows.shape[1])
    for start in range(0, len(rows), step):
        with np.errstate(invalid="ignore"):  # an older NumPy warns of infinity minus infinity
            assert_all_finite(rows[start : start + step], estimator_name=name, input_name="X")
    return checked


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "fit_context",
    "follow_sparse_interface",
    "validate_data",
    "validate_params",
    "with_callbacks",
]
