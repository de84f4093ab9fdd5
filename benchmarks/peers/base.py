"""The interface of all that is compared."""

from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np


class Peer(ABC):
    """One method with its settings, which searches for the largest inner products.

    Parameters
    ----------
    name : str
        What tables call it; the same for all bits.
    bits : float
        Bits that it sets out to spend on an entry; 32 for floats.
    parameters : dict
        Its settings, as its library calls them.
    """

    def __init__(self, name, bits, parameters=None):
        self.name = name
        self.bits = bits
        self.parameters = parameters or {}

    def warm_up(self, rows):  # noqa: B027
        """Do once what only the first call of a process has to do, such as compiling."""

    @abstractmethod
    def fit(self, rows):
        """Train and compress; float32 of shape (n_rows, n_features)."""

    @abstractmethod
    def kneighbors(self, queries, k):
        """Find the k nearest of each query: indices of shape (n_queries, k)."""

    @property
    @abstractmethod
    def bytes_per_row(self):
        """All that is held for a row: code, terms, links."""

    @property
    def codec_bytes(self):
        """All that is held besides: means, rotations, code books."""
        return 0


def saved_bytes(save):
    """Count the bytes of the files that ``save(folder)`` writes."""
    with TemporaryDirectory() as folder:
        save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def pad_features(X, multiple):
    """Append zeros, which change no product, for a library that wants a multiple of features."""
    return np.pad(X, ((0, 0), (0, -X.shape[1] % multiple)))


class Lift:
    """Make inner products a matter of distances, for a library that has only these.

    A feature is appended that gives all rows one norm; it is 0 in queries. Rows that have one norm
    already stay as they are.
    """

    def __init__(self, rows):
        self.squares = np.einsum("ij,ij->i", rows, rows)
        self.needed = not np.allclose(self.squares, self.squares.max(), rtol=1e-4)

    def rows(self, rows):
        if not self.needed:
            return rows
        missing = np.sqrt(self.squares.max() - self.squares)
        return np.column_stack([rows, missing])

    def queries(self, queries):
        return np.pad(queries, ((0, 0), (0, 1))) if self.needed else queries
