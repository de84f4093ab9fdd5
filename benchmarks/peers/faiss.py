"""The indexes of faiss that search without lists.

SQ, RaBitQ and EDEN get a random rotation first; PQ learns from the rows as they come, OPQ learns a
rotation too.
"""

import faiss

from . import FLOAT_BITS
from .base import Peer

version = faiss.__version__
OPQ_ITERATIONS, OPQ_ROWS = 10, 2**12


class Index(Peer):
    """An index as `faiss.index_factory` makes it."""

    def __init__(self, name, bits, factory):
        super().__init__(f"faiss {name}", bits, {"index_factory": factory})

    def make(self, n_features):
        factory = self.parameters["index_factory"]
        return faiss.index_factory(n_features, factory, faiss.METRIC_INNER_PRODUCT)

    def fit(self, rows):
        self.index = self.make(rows.shape[1])
        self.index.train(rows)
        self.index.add(rows)

    def kneighbors(self, queries, k):
        return self.index.search(queries, k)[1]

    @property
    def bytes_per_row(self):
        return self.index.sa_code_size()

    @property
    def codec_bytes(self):
        held = faiss.serialize_index(self.index).nbytes
        return held - self.index.ntotal * self.bytes_per_row


class OpqIndex(Index):
    """A rotation learned for the code that follows, of 16 words and not of the default 256."""

    def make(self, n_features):
        index = super().make(n_features)
        pretransform = faiss.downcast_index(index)
        rotation = faiss.downcast_VectorTransform(pretransform.chain.at(0))
        code = faiss.downcast_index(pretransform.index).pq
        self.code = faiss.ProductQuantizer(code.d, code.M, code.nbits)  # outlives the training
        rotation.pq = self.code
        rotation.niter, rotation.max_train_points = OPQ_ITERATIONS, OPQ_ROWS
        return index


def contestants(n_features, bits, n_threads):
    faiss.omp_set_num_threads(n_threads)
    d = n_features
    if bits == FLOAT_BITS:
        return [Index("flat", bits, "Flat")]
    # Four bits go to each of m groups of features, and m divides the features.
    m = max(m for m in range(1, d + 1) if d % m == 0 and 4 * m <= bits * d)
    listed = [
        Index("PQ fast scan", bits, f"PQ{m}x4fs"),
        OpqIndex("OPQ fast scan", bits, f"OPQ{m},PQ{m}x4fs"),
        Index("RaBitQ fast scan", bits, f"RR{d},RaBitQfs{bits}"),
        Index("EDEN", bits, f"RR{d},EDEN{bits}"),
    ]
    if bits in (4, 6, 8):
        listed.append(Index("SQ", bits, f"RR{d},SQ{bits}"))
    return listed
