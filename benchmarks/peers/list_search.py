"""Searches in inverted lists, side by side: skquant's and those of faiss."""

import numpy as np

from skquant import QuantizedNearestNeighbors

from .base import Peer

K, N_CANDIDATES = 10, 256


class Lists(Peer):
    """skquant's lists.

    Parameters
    ----------
    name : str
    bits : float
    parameters : dict
        Those of the estimator.
    """

    def __init__(self, name, bits, parameters):
        super().__init__(name, bits, parameters | {"random_state": 0})
        self.search = QuantizedNearestNeighbors(K, **self.parameters)

    def warm_up(self, rows):
        few = QuantizedNearestNeighbors(K, **self.parameters | {"n_lists": 4}).fit(rows[:2000])
        for n_queries in (1, 100):
            few.kneighbors(rows[:n_queries])

    def fit(self, rows):
        self.search.fit(rows)

    def visit(self, n_probe):
        """Choose how many lists a query visits."""
        self.search.set_params(n_probe=n_probe)

    def kneighbors(self, queries, k):
        return self.search.kneighbors(queries, k, return_distance=False)

    @property
    def bytes_per_row(self):
        return self.search.lists_.rows_nbytes / len(self.search.lists_)

    @property
    def codec_bytes(self):
        return self.search.lists_.nbytes - self.search.lists_.rows_nbytes


class FaissLists(Peer):
    """An index with lists, as `faiss.index_factory` makes it."""

    def __init__(self, name, bits, factory):
        super().__init__(f"faiss {name}", bits, {"index_factory": factory})

    def fit(self, rows):
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.index_factory(rows.shape[1], self.parameters["index_factory"])
        self.index.train(rows)
        self.index.add(rows)
        self.lists = faiss.extract_index_ivf(self.index)
        self.held = faiss.serialize_index(self.index).nbytes

    def visit(self, n_probe):
        self.lists.nprobe = n_probe

    def kneighbors(self, queries, k):
        return self.index.search(np.ascontiguousarray(queries), k)[1]

    @property
    def bytes_per_row(self):
        return self.lists.code_size + 8  # and the number of a row

    @property
    def codec_bytes(self):
        return self.held - self.bytes_per_row * self.index.ntotal


def contestants(n_features, n_lists, bits):
    """List all methods for so many lists: every one at the bits that it is compared at."""
    d = n_features
    return [
        *(Lists(f"skquant, {b:g} bits", b, {"bits": b, "n_lists": n_lists}) for b in bits),
        *(
            # About as large as RaBitQ's: the layer comes on top of the bits.
            Lists(
                f"skquant, {b:g} bits and a coarse layer",
                b,
                {"bits": b, "n_lists": n_lists, "n_candidates": N_CANDIDATES},
            )
            for b in bits
        ),
        FaissLists("IVF PQ fast scan", 4, f"IVF{n_lists},PQ{d}x4fs"),
        *(
            FaissLists(f"IVF RaBitQ fast scan, {b:g} bits", b, f"IVF{n_lists},RaBitQfs{b:g}")
            for b in bits
        ),
    ]
