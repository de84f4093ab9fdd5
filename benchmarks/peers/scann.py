"""ScaNN: its asymmetric hashing of all rows, without partitions and without rescoring."""

from importlib.metadata import version as version_of

import scann

from .base import Peer, saved_bytes

version = version_of("scann")


class Scann(Peer):
    """Product quantization, 16 anisotropic code words for each block of features.

    Its files spend a byte on a code word; four bits are counted, which is what a search reads.
    """

    def __init__(self, bits, n_threads):
        parameters = {
            "dimensions_per_block": 4 // bits,
            "anisotropic_quantization_threshold": 0.2,
            "training_sample_size": 2**14,
        }
        super().__init__("ScaNN", bits, parameters)
        self.n_threads = n_threads

    def fit(self, rows):
        builder = scann.scann_ops_pybind.builder(rows, 10, "dot_product")
        builder.set_n_training_threads(self.n_threads)
        self.index = builder.score_ah(**self.parameters).build()
        self.index.set_num_threads(self.n_threads)
        self.n_rows = len(rows)
        self.n_blocks = -(-rows.shape[1] // self.parameters["dimensions_per_block"])

    def kneighbors(self, queries, k):
        if len(queries) == 1:
            return self.index.search(queries[0], k)[0][None]
        if self.n_threads == 1:
            return self.index.search_batched(queries, k)[0]
        return self.index.search_batched_parallel(queries, k)[0]

    @property
    def bytes_per_row(self):
        return self.n_blocks / 2

    @property
    def codec_bytes(self):
        return saved_bytes(self._save) - self.n_rows * self.n_blocks

    def _save(self, folder):
        self.index.serialize(str(folder))


def contestants(n_features, bits, n_threads):
    return [Scann(bits, n_threads)] if bits in (1, 2, 4) else []
