"""hnswlib: a graph over the floats, at one setting; not exhaustive, and slow to build."""

from importlib.metadata import version as version_of

import hnswlib

from . import FLOAT_BITS
from .base import Peer

version = version_of("hnswlib")


class Hnsw(Peer):
    """Walk a graph of neighbours."""

    def __init__(self, bits, n_threads):
        super().__init__("hnswlib", bits, {"M": 16, "ef_construction": 40, "ef": 100})
        self.n_threads = n_threads

    def fit(self, rows):
        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.init_index(
            len(rows), M=self.parameters["M"], ef_construction=self.parameters["ef_construction"]
        )
        self.index.set_num_threads(self.n_threads)
        self.index.add_items(rows)
        self.index.set_ef(self.parameters["ef"])

    def kneighbors(self, queries, k):
        return self.index.knn_query(queries, k)[0]

    @property
    def bytes_per_row(self):
        return self.index.index_file_size() / self.index.element_count


def contestants(n_features, bits, n_threads):
    return [Hnsw(bits, n_threads)] if bits == FLOAT_BITS else []
