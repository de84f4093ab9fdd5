"""The product of float32 matrices alone, without any selection: what a search has to beat."""

import numpy as np

from . import FLOAT_BITS
from .base import Peer

version = np.__version__


class Product(Peer):
    """Multiply queries and rows, and find nothing."""

    def fit(self, rows):
        self.rows = rows
        self.products = np.empty((1000, len(rows)), np.float32)

    def kneighbors(self, queries, k):
        np.matmul(queries, self.rows.T, out=self.products[: len(queries)])

    @property
    def bytes_per_row(self):
        return self.rows.strides[0]


def contestants(n_features, bits, n_threads):
    return [Product("sgemm alone", bits)] if bits == FLOAT_BITS else []
