"""scikit-learn's search of the floats by brute force, euclidean."""

import sklearn
from sklearn.neighbors import NearestNeighbors

from . import FLOAT_BITS
from .base import Lift, Peer

version = sklearn.__version__


class Brute(Peer):
    """An estimator with the interface of `sklearn.neighbors.NearestNeighbors`."""

    def __init__(self, name, estimator, n_threads):
        super().__init__(name, FLOAT_BITS, {"algorithm": "brute", "metric": "euclidean"})
        self.estimator = estimator.set_params(**self.parameters, n_jobs=n_threads)

    def fit(self, rows):
        self.lift = Lift(rows)
        lifted = self.lift.rows(rows)
        self.estimator.fit(lifted)
        self.row_bytes = lifted.strides[0]

    def kneighbors(self, queries, k):
        return self.estimator.kneighbors(self.lift.queries(queries), k, return_distance=False)

    @property
    def bytes_per_row(self):
        return self.row_bytes


def contestants(n_features, bits, n_threads):
    if bits != FLOAT_BITS:
        return []
    return [Brute("scikit-learn", NearestNeighbors(), n_threads)]
