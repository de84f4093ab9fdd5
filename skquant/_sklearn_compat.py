"""Every scikit-learn import that is private or depends on the version, in one place."""

from scipy.sparse import csr_matrix
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import validate_data

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
