"""skquant itself."""

import numpy as np
from sklearn.utils import gen_batches

from skquant import QuantizedKNeighborsClassifier, __version__
from skquant._neighbors._scan import FEW_QUERIES

from . import FLOAT_BITS
from .base import Peer

version = __version__
N_CANDIDATES = 192


class Skquant(Peer):
    """Search among compressed rows."""

    def __init__(self, name, bits, parameters, n_threads):
        parameters = {"metric": "inner_product", "random_state": 0} | parameters
        super().__init__(name, bits, parameters)
        self.knn = QuantizedKNeighborsClassifier(**parameters, n_jobs=n_threads)

    def warm_up(self, rows):
        self.fit(rows[:1000])
        for n_queries in (1, 100):
            self.kneighbors(rows[:n_queries], 10)

    def fit(self, rows):
        self.knn.fit(rows, np.zeros(len(rows)))

    def kneighbors(self, queries, k):
        return self.knn.kneighbors(queries, k, return_distance=False)

    @property
    def bytes_per_row(self):
        codes = self.knn.codes_
        return codes.bits_per_entry * codes.shape[1] / 8

    @property
    def codec_bytes(self):
        codes = self.knn.codes_
        return codes.nbytes - codes.shape[0] * self.bytes_per_row


class CoarseLayer(Skquant):
    """Search by a coarse layer alone, so that recall is that of few queries in any call."""

    def kneighbors(self, queries, k):
        calls = [queries[some] for some in gen_batches(len(queries), FEW_QUERIES)]
        return np.vstack([super(CoarseLayer, self).kneighbors(some, k) for some in calls])


def contestants(n_features, bits, n_threads):
    if bits == FLOAT_BITS:
        return []
    listed = [Skquant("skquant", bits, {"bits": bits}, n_threads)]
    if bits == 4:  # 1.5 bits of a coarse layer come on top, and make five
        parameters = {"bits": 3.5, "n_candidates": N_CANDIDATES}
        listed.append(CoarseLayer("skquant, coarse layer", 5, parameters, n_threads))
    return listed
