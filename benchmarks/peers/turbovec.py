"""turbovec, calibrated on a sample of the rows as its documentation advises."""

from importlib.metadata import version as version_of

import numpy as np
import turbovec

from .base import Peer, pad_features

version = version_of("turbovec")
SAMPLE = 4096


class TurboVec(Peer):
    """Scalar codes after a rotation; rows are padded to a multiple of eight features."""

    def fit(self, rows):
        rows = pad_features(rows, 8)
        sample = np.random.default_rng(0).choice(len(rows), min(SAMPLE, len(rows)), replace=False)
        self.n_rows = len(rows)
        self.index = turbovec.TurboQuantIndex(dim=rows.shape[1], **self.parameters)
        self.index.calibrate(rows[sample])
        self.index.add(rows)
        self.index.prepare()

    def kneighbors(self, queries, k):
        return self.index.search(pad_features(queries, 8), k=k)[1]

    @property
    def bytes_per_row(self):
        return (len(self.index.to_bytes()) - self.codec_bytes) / self.n_rows

    @property
    def codec_bytes(self):
        empty = turbovec.TurboQuantIndex(dim=self.index.dim, **self.parameters)
        return len(empty.to_bytes()) + 8 * self.index.dim  # two float32 a feature of calibration


def contestants(n_features, bits, n_threads):
    return [TurboVec("turbovec", bits, {"bit_width": bits})] if bits in (2, 4) else []
