"""The library of RaBitQ's authors, with a single list around the mean of the rows."""

from importlib.metadata import version as version_of

import numpy as np
import rabitqlib

from .base import Peer, pad_features, saved_bytes

version = version_of("rabitqlib")


class RaBitQ(Peer):
    """Codes of all rows in one list; rows are padded to a multiple of 64 features."""

    def __init__(self, bits, n_threads):
        super().__init__("rabitqlib", bits, {"nbits": bits, "num_clusters": 1, "metric": "ip"})
        self.n_threads = n_threads

    def fit(self, rows):
        rows = pad_features(rows, 64)
        self.index = self._build(rows)
        self.few_rows = rows[:64].copy()

    def _build(self, rows):
        index = rabitqlib.IvfIndex(rows.shape[1], len(rows), **self.parameters)
        centre, lists = rows.mean(axis=0, keepdims=True), np.zeros(len(rows), np.uint32)
        index.build(rows, centre, lists, num_threads=self.n_threads)
        return index

    def kneighbors(self, queries, k):
        queries = pad_features(queries, 64)
        return self.index.search(queries, k, nprobe=1, num_threads=self.n_threads)[0]

    @property
    def bytes_per_row(self):
        return (_held(self.index) - self.codec_bytes) / self.index.num_points

    @property
    def codec_bytes(self):
        # Rows are held by blocks of 32: what two blocks take less one is a block.
        one, two = (_held(self._build(self.few_rows[:n])) for n in (32, 64))
        return 2 * one - two


def _held(index):
    return saved_bytes(lambda folder: index.save(str(folder / "index")))


def contestants(n_features, bits, n_threads):
    return [RaBitQ(bits, n_threads)] if bits <= 9 else []
