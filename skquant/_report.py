"""What a compression costs and what it keeps, as a small table."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import check_is_fitted

from ._exact_neighbors import exact_neighbors, nearest_in_blocks
from ._neighbors._metric import as_searched
from ._neighbors._rows import reconstruct, without_own
from ._normalised_error import normalised_error
from .metrics import held_codes, neighbor_recall
from .quantized_matrix import QuantizedMatrix
from .theory import distortion_rate

_BLOCK_FLOATS = 2**20
_QUERIES = 1000


@dataclass(frozen=True)
class CompressionReport:
    """What a compression costs and what it keeps; `compression_report` makes one.

    It prints as a table. ``pandas.DataFrame([report, other])`` sets several side by side.

    Parameters
    ----------
    estimator : str
        Name of the estimator's class.
    n_samples, n_features : int
        Shape of the matrix.
    bits : float
        Bits per entry of all that is held for a row.
    nbytes : int
        Bytes held: rows, and what all rows share.
    ratio : float
        Bytes of the matrix that was given over `nbytes`.
    nmse : float
        Squared errors over squared deviations from the feature means.
    bound : float
        The least `nmse` that any code of as many bits can have on Gaussian rows without structure,
        4 to the power of minus the bits.
    excess_bits : float
        How many bits fewer an ideal code would need for the same error on such rows. Below zero
        where structure was used: a learned rotation, or a low rank.
    n_neighbors : int
        Number of neighbours that `recall` is of.
    recall : float
        Share of the exact nearest neighbours that are found among the compressed rows; nan for a
        single row.

    Examples
    --------
    >>> from skquant import CompressionReport
    >>> CompressionReport(
    ...     "LatticeQuantizer", 1000, 64, 4.5, 37000, 6.9, 0.007, 0.00195, 0.92, 10, 0.93
    ... ).recall
    0.93
    """

    estimator: str
    n_samples: int
    n_features: int
    bits: float
    nbytes: int
    ratio: float
    nmse: float
    bound: float
    excess_bits: float
    n_neighbors: int
    recall: float

    def __repr__(self):
        lines = [
            ("bits per entry", f"{self.bits:.3f}", "row terms included"),
            ("bytes", f"{self.nbytes:,d}", f"{self.ratio:.1f} times less than given"),
            ("error", f"{self.nmse:.3g}", "of the variance"),
            ("bound", f"{self.bound:.3g}", "for Gaussian rows at these bits"),
            ("excess", f"{self.excess_bits:.3f}", "bits over the bound at this error"),
            (f"recall@{self.n_neighbors}", f"{self.recall:.3f}", "of the exact neighbours"),
        ]
        title = f"{self.estimator}: {self.n_samples:,d} rows of {self.n_features:,d} features"
        return "\n".join([title] + [f"{name:<15}{value:>13}   {of}" for name, value, of in lines])


def compression_report(estimator, X, *, n_neighbors=10):
    """Report what a fitted estimator's compression costs, and what it keeps.

    Parameters
    ----------
    estimator : estimator
        A fitted `LatticeQuantizer` or `LowRankLowPrecisionCompressor`, or one of the neighbour
        estimators. Of a pipeline take the step, and rows as they enter it.
    X : array-like of shape (n_samples, n_features)
        For one that compresses, any rows. For a neighbour estimator its training rows in their
        order, removed ones left out.
    n_neighbors : int, default=10
        Neighbours whose recall is reported, at most the number of other rows. Up to 1000 rows, at
        equal distances in `X`, are searched for among all others: by their distances to the
        reconstruction, or as the neighbour estimator does, `rescore` included.

    Returns
    -------
    CompressionReport
        Bits, bytes, error, distance to the bound, and recall. The error of a neighbour estimator is
        that of all codes it holds, in rows of unit length if it searches by cosine.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the estimator neither compresses nor holds compressed rows, `X` has another shape than
        what it holds, or holds NaN or infinity, or `n_neighbors` is not positive.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LatticeQuantizer, compression_report
    >>> X, _ = load_digits(return_X_y=True)
    >>> compression_report(LatticeQuantizer(bits=3, random_state=0).fit(X), X)
    LatticeQuantizer: 1,797 rows of 64 features
    bits per entry         3.625   row terms included
    ...
    """
    check_is_fitted(estimator)
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors}.")
    X = check_array(X, dtype="numeric")
    n_neighbors = max(1, min(n_neighbors, len(X) - 1))
    sample = np.unique(np.linspace(0, len(X) - 1, _QUERIES).astype(np.intp))
    if hasattr(estimator, "codes_"):
        held, metric = held_codes(estimator), estimator.effective_metric_
        if X.shape != held[0].shape:
            raise ValueError(
                f"X must hold the training rows, of shape {held[0].shape}, got {X.shape}."
            )
        decoded = partial(_decoded_training_rows, estimator)
    elif hasattr(estimator, "compress"):
        held, metric = [estimator.compress(X)], "euclidean"
        decoded = partial(_decoded, held[0])
    else:
        raise ValueError(f"compression_report found nothing compressed in {estimator!r}.")
    nbytes = sum(matrix.nbytes for matrix in held)
    bits = sum(matrix.bits_per_entry for matrix in held)
    nmse = normalised_error(as_searched(X, metric, np.float32), decoded())
    recall = np.nan
    if len(X) > 1:
        exact = exact_neighbors(X, X[sample], n_neighbors + 1, metric)
        if hasattr(estimator, "codes_"):
            found = estimator.kneighbors(X[sample], n_neighbors + 1, return_distance=False)
        else:
            found = nearest_in_blocks(decoded(), X[sample], n_neighbors + 1, metric)
        recall = neighbor_recall(*without_own(sample, exact), *without_own(sample, found))
    with np.errstate(divide="ignore"):
        excess = float(bits + np.log2(nmse) / 2)
    return CompressionReport(
        estimator=type(estimator).__name__,
        n_samples=X.shape[0],
        n_features=X.shape[1],
        bits=float(bits),
        nbytes=int(nbytes),
        ratio=X.nbytes / nbytes,
        nmse=nmse,
        bound=float(distortion_rate(bits)),
        excess_bits=excess,
        n_neighbors=n_neighbors,
        recall=recall,
    )


def _decoded(matrix):
    """Reconstruct a matrix, block by block: places of rows, and the rows."""
    if not isinstance(matrix, QuantizedMatrix):
        yield from matrix.panels(np.float64)
        return
    for rows in gen_batches(len(matrix), max(1, _BLOCK_FLOATS // matrix.shape[1])):
        yield rows, matrix[rows].toarray()


def _decoded_training_rows(estimator):
    """Reconstruct training rows from all codes that are held, as `_decoded` does."""
    n_rows, n_features = estimator.codes_.shape
    for rows in gen_batches(n_rows, max(1, _BLOCK_FLOATS // n_features)):
        block = reconstruct(estimator._held, rows)
        if hasattr(estimator, "rescore_codes_"):
            block = block + estimator.rescore_codes_[rows].toarray()
        yield rows, block
