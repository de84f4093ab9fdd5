"""scikit-learn-intelex, which offers the same estimator on oneDAL."""

from importlib.metadata import version as version_of

from sklearnex.neighbors import NearestNeighbors

from . import FLOAT_BITS
from .scikit_learn import Brute

version = version_of("scikit-learn-intelex")


def contestants(n_features, bits, n_threads):
    if bits != FLOAT_BITS:
        return []
    return [Brute("scikit-learn-intelex", NearestNeighbors(), n_threads)]
