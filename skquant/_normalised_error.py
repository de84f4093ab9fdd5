"""The normalised mean squared error of reconstructions."""

import numpy as np
from sklearn.utils import check_array, gen_batches

_BLOCK_FLOATS = 2**20  # of rows whose squares are summed at once: 8 MB as float64


def reconstruction_error(transformer, X):
    """Give the normalised mean squared error of what comes back through a fitted transformer."""
    reconstructed = np.asarray(transformer.inverse_transform(transformer.transform(X)))
    X = check_array(X, dtype="numeric")
    blocks = gen_batches(len(X), max(1, _BLOCK_FLOATS // X.shape[1]))
    return normalised_error(X, ((rows, reconstructed[rows]) for rows in blocks))


def normalised_error(X, blocks):
    """Give the normalised mean squared error of a reconstruction that comes in blocks.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    blocks : iterable of (slice or int ndarray, ndarray of shape (n_block, n_features))
        Places of rows, and their reconstruction; all rows once.

    Returns
    -------
    float
        Squared errors over squared deviations from the feature means. If there are none of the
        latter, 0 when exact and infinity otherwise.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    error = spread = 0.0
    for rows, reconstructed in blocks:
        block = X[rows].astype(np.float64)
        error += np.square(block - reconstructed).sum()
        spread += np.square(block - mean).sum()
    if spread == 0:
        return 0.0 if error == 0 else np.inf
    return float(error / spread)
