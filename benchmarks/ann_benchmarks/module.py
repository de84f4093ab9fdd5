"""skquant as an algorithm of ann-benchmarks, https://github.com/erikbern/ann-benchmarks.

In a checkout of that project, with ``FOLDER`` for ``ann_benchmarks/algorithms/skquant``: copy this
folder to ``FOLDER``, put a wheel of skquant beside it (``pip wheel --no-deps -w FOLDER .``), then

    python install.py --algorithm skquant
    python run.py --algorithm skquant --dataset glove-100-angular
"""

import numpy as np

from skquant import QuantizedKNeighborsClassifier

from ..base.module import BaseANN

METRICS = {"angular": "cosine", "euclidean": "euclidean"}


class Skquant(BaseANN):
    """Search of all compressed rows; there is nothing to set at query time."""

    def __init__(self, metric, bits):
        self.knn = QuantizedKNeighborsClassifier(bits=bits, metric=METRICS[metric], random_state=0)
        self.name = f"skquant(bits={bits})"

    def fit(self, X):
        X = np.ascontiguousarray(X, np.float32)
        self.knn.fit(X, np.zeros(len(X)))
        self.query(X[0], 10)  # compiles, where no earlier process has done so

    def query(self, q, n):
        return self._search(q[None], n)[0]

    def batch_query(self, X, n):
        self.res = self._search(X, n)

    def get_additional(self):
        codes = self.knn.codes_
        return {"bits_per_entry": codes.bits_per_entry, "codes_nbytes": codes.nbytes}

    def _search(self, X, n):
        return self.knn.kneighbors(np.asarray(X, np.float32), n, return_distance=False)
