"""Rows in inverted lists, and what a search in them has to find, in plain NumPy."""

import numpy as np

from skquant import QuantizedNearestNeighbors
from skquant._neighbors._metric import SEARCHED_AS, in_units, unit_rows
from skquant._panels import empty_panels, take_rows

N_LISTS = 12


def clustered_rows(n_queries=40):
    """Rows around centres away from the origin, and queries."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((20, 1, 24)) * 0.7 + 1
    X = (centres + rng.standard_normal((20, 32, 24))).reshape(-1, 24)
    X = rng.permutation(X).astype(np.float32)
    return X[:-n_queries], X[-n_queries:]


def make(X, *, n_lists=N_LISTS, n_probe=N_LISTS, bits=4, **parameters):
    search = QuantizedNearestNeighbors(
        5, bits=bits, n_lists=n_lists, n_probe=n_probe, random_state=0, **parameters
    )
    return search.fit(X)


def estimates(search, queries):
    """Estimate all distances as the documentation has it, in plain NumPy and double precision."""
    lists, metric = search.lists_, search.effective_metric_
    codec, packed = lists.coder.codec, np.asarray(lists.codes._rows)
    queries = unit_rows(queries, np.float64) if metric == "cosine" else queries.astype(float)
    panels = empty_panels(len(lists), codec.row_code.n_coordinates)
    norm = np.sqrt(codec.row_code.decode(packed, panels, codec.dither))
    decoded = take_rows(panels, len(lists))
    centres = lists.centroids[lists.list_of]
    terms = lists.coder.unpack_terms(lists.list_of, packed)
    factor = terms.unbiased_factor(norm)
    distances = np.empty((len(queries), len(lists)))
    for query, row in zip(queries, distances, strict=True):
        from_centres = codec.to_coordinates(query - centres)
        product = factor * np.einsum("ij,ij->i", from_centres, decoded, dtype=float)
        if SEARCHED_AS[metric] == "sqeuclidean":
            found = np.square(query - centres).sum(axis=1) + terms.norm**2 - 2 * product
        else:
            found = -(product + terms.centre_product + centres @ query)
        row[lists.numbers] = found
    return in_units(distances, metric)


def visited(search, queries, n_probe):
    """Tell which rows are in the first lists that each query visits."""
    lists, metric = search.lists_, search.effective_metric_
    queries = unit_rows(queries, np.float64) if metric == "cosine" else queries.astype(float)
    if SEARCHED_AS[metric] == "sqeuclidean":
        far = np.square(queries[:, None] - lists.centroids).sum(axis=2)
    else:
        far = -queries @ lists.centroids.T
    first = np.argsort(far, axis=1)[:, :n_probe]
    inside = np.empty((len(queries), len(lists)), bool)
    inside[:, lists.numbers] = (first[:, None] == lists.list_of[:, None]).any(axis=2)
    return inside
