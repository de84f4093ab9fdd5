"""Scores of compressed estimators, and a choice among them within a budget of bits.

The scorers are callables ``scorer(estimator, X, y=None)``, as the `scoring` of scikit-learn's
searches takes them; `within_bit_budget` makes a callable for their `refit`.
"""

from copy import copy
from functools import partial
from numbers import Real

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._exact_neighbors import exact_neighbors
from ._normalised_error import reconstruction_error

__all__ = ["bits_scorer", "neighbor_recall", "nmse_scorer", "probe_recall", "within_bit_budget"]


def nmse_scorer(estimator, X, y=None):
    """Score a fitted estimator by minus the normalised mean squared error of its reconstruction.

    The error is measured in the features of `X`: rows go through `transform` and come back
    through `inverse_transform`. Of a pipeline, the steps up to and including its last compressing
    transformer (one with `bits_per_feature_`) go both ways, so that what a reduction of dimensions
    before it loses is counted; steps after it are not used.

    Parameters
    ----------
    estimator : estimator
        A fitted quantizer, or a fitted `sklearn.pipeline.Pipeline` that contains one.
    X : array-like of shape (n_samples, n_features)
        Rows to reconstruct.
    y : object, default=None
        Not used; scikit-learn passes it.

    Returns
    -------
    score : float
        Minus the sum of squared errors over the sum of squared deviations of `X` from its feature
        means: 0 is exact, and -1 is what the means alone would reach. If `X` does not deviate, it
        is 0 when exact and minus infinity otherwise.

    Raises
    ------
    NotFittedError
        If `estimator` is not fitted.
    ValueError
        If nothing in `estimator` compresses and reconstructs, or a step before it has no
        `inverse_transform`, or `X` is not a finite numeric matrix.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LatticeQuantizer
    >>> from skquant.metrics import nmse_scorer
    >>> X, _ = load_digits(return_X_y=True)
    >>> coarse, fine = (LatticeQuantizer(bits=b, random_state=0).fit(X) for b in (1, 4))
    >>> nmse_scorer(coarse, X) < nmse_scorer(fine, X) < 0
    True
    """
    check_is_fitted(estimator)
    return -reconstruction_error(_reconstructing_part(estimator), X)


def bits_scorer(estimator, X, y=None):
    """Give the bits per original feature that a fitted estimator stores of a row.

    Everything that is stored with a row counts. Of a pipeline, it is the last compressing step
    that counts, because what it writes is what is kept: its bits per row, divided by the number
    of features that enter the pipeline, so that a reduction of dimensions before it pays.

    Parameters
    ----------
    estimator : estimator
        A fitted quantizer or quantized neighbour estimator, or a fitted
        `sklearn.pipeline.Pipeline` that contains one.
    X : array-like of shape (n_samples, n_features)
        Rows as they enter `estimator`; only their width is used.
    y : object, default=None
        Not used; scikit-learn passes it.

    Returns
    -------
    bits : float
        Bits per feature, positive: less is better, unlike other scores. Use it as a budget, with
        `within_bit_budget`, and not as a score to maximise.

    Raises
    ------
    NotFittedError
        If `estimator` is not fitted.
    ValueError
        If nothing in `estimator` compresses.

    Examples
    --------
    A principal component analysis that halves the width halves the bits:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from skquant import QuantizedKNeighborsClassifier
    >>> from skquant.metrics import bits_scorer
    >>> X, y = load_digits(return_X_y=True)
    >>> pipe = make_pipeline(PCA(32), QuantizedKNeighborsClassifier(bits=4)).fit(X, y)
    >>> bits_scorer(pipe, X) == pipe[-1].codes_.bits_per_entry / 2
    True
    """
    check_is_fitted(estimator)
    for step in reversed(_steps(estimator)):
        held = held_codes(step)
        if held:
            bits = sum(codes.bits_per_entry for codes in held)
            return bits * step.n_features_in_ / np.shape(X)[1]
        if hasattr(step, "bits_per_feature_"):
            return step.bits_per_feature_ * step.n_features_in_ / np.shape(X)[1]
    raise ValueError(f"bits_scorer found no step that compresses in {estimator!r}.")


def held_codes(estimator):
    """Give the compressed rows that a fitted estimator holds, none for a quantizer."""
    rows = "lists_" if hasattr(estimator, "lists_") else "codes_"
    return [getattr(estimator, n) for n in (rows, "rescore_codes_") if hasattr(estimator, n)]


def neighbor_recall(exact, found):
    """Give the share of the exact neighbours that a search finds.

    Parameters
    ----------
    exact : array-like of int of shape (n_queries, n_neighbors)
        The exact neighbours of each query.
    found : array-like of int of shape (n_queries, n_found)
        The neighbours that the search gives it, in any order; more than were asked for if
        candidates are what is to be judged.

    Returns
    -------
    recall : float
        The mean over queries: 1 is all, 0 none. Of neighbours at equal distance only those in
        `exact` count.

    Raises
    ------
    ValueError
        If the two are no matrices with a row for each of the same queries.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import NearestNeighbors
    >>> from skquant import QuantizedNearestNeighbors
    >>> from skquant.metrics import neighbor_recall
    >>> X, _ = load_digits(return_X_y=True)
    >>> exact, found = (
    ...     search.fit(X[:1500]).kneighbors(X[1500:], 10, return_distance=False)
    ...     for search in (NearestNeighbors(), QuantizedNearestNeighbors(bits=3, random_state=0))
    ... )
    >>> neighbor_recall(exact, found) > 0.8
    True
    """
    exact, found = np.asarray(exact), np.asarray(found)
    if exact.ndim != 2 or found.ndim != 2 or len(exact) != len(found) or not exact.size:
        raise ValueError(
            "exact and found must be matrices with a row for each query, but their shapes are "
            f"{exact.shape} and {found.shape}."
        )
    return float(np.mean([np.isin(*rows).mean() for rows in zip(exact, found, strict=True)]))


def within_bit_budget(max_bits, *, score="nmse", bits="bits"):
    """Make a `refit` that chooses the best score among the candidates within a bit budget.

    Parameters
    ----------
    max_bits : float
        The budget, in the units of the scorer named by `bits`: bits per original feature for
        `bits_scorer`.
    score : str, default="nmse"
        Name of the score to maximise, a key of the search's `scoring`.
    bits : str, default="bits"
        Name of the scorer that gives the bits, a key of the search's `scoring`.

    Returns
    -------
    refit : callable
        Takes `cv_results_` and returns the index of the candidate with the highest mean test score
        among those whose mean test bits are at most `max_bits`; of equal scores, the one with
        fewer bits, then the first. It can be pickled. When called, it raises ValueError if
        `cv_results_` lacks one of the two scores, or no candidate is within the budget; candidates
        whose score is NaN are left aside.

    Raises
    ------
    ValueError
        If `max_bits` is not a positive number.

    Notes
    -----
    With a callable `refit`, scikit-learn's searches have `best_estimator_`, `best_index_` and
    `best_params_`, but no `best_score_`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skquant import QuantizedKNeighborsClassifier
    >>> from skquant.metrics import bits_scorer, within_bit_budget
    >>> X, y = load_digits(return_X_y=True)
    >>> search = GridSearchCV(
    ...     QuantizedKNeighborsClassifier(random_state=0),
    ...     {"bits": [1, 2, 4, 8]},
    ...     scoring={"accuracy": "accuracy", "bits": bits_scorer},
    ...     refit=within_bit_budget(5.5, score="accuracy"),
    ...     cv=3,
    ... ).fit(X, y)
    >>> bits_scorer(search.best_estimator_, X) <= 5.5
    True
    """
    if not isinstance(max_bits, Real) or not max_bits > 0:
        raise ValueError(f"max_bits must be a positive number, got {max_bits!r}.")
    return partial(_best_within_budget, max_bits=max_bits, score=score, bits=bits)


def _best_within_budget(cv_results, *, max_bits, score, bits):
    missing = [name for name in (score, bits) if f"mean_test_{name}" not in cv_results]
    if missing:
        raise ValueError(
            f"within_bit_budget needs the scores {score!r} and {bits!r}, but the search has no "
            f"{' and no '.join(map(repr, missing))}: pass scoring={{{score!r}: ..., {bits!r}: "
            "skquant.metrics.bits_scorer}, or name its scores by the arguments score and bits."
        )
    scores = np.asarray(cv_results[f"mean_test_{score}"])
    costs = np.asarray(cv_results[f"mean_test_{bits}"])
    scored = np.flatnonzero(~np.isnan(scores) & ~np.isnan(costs))
    if scored.size == 0:
        raise ValueError(f"No candidate has both a {score!r} and a {bits!r} that is not NaN.")
    affordable = scored[costs[scored] <= max_bits]
    if affordable.size == 0:
        raise ValueError(
            f"No candidate is within max_bits={max_bits}: the smallest has "
            f"{costs[scored].min():.6g} bits."
        )
    return affordable[np.lexsort((costs[affordable], -scores[affordable]))[0]]


def _steps(estimator):
    return [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]


def _reconstructing_part(estimator):
    """Give the estimator, or the part of the pipeline, that compresses rows and inverts that."""
    steps = _steps(estimator)
    ends = [
        end
        for end, step in enumerate(steps, start=1)
        if hasattr(step, "bits_per_feature_") and hasattr(step, "inverse_transform")
    ]
    if not ends:
        raise ValueError(f"nmse_scorer found no quantizer that reconstructs in {estimator!r}.")
    if not isinstance(estimator, Pipeline):
        return estimator
    part = estimator[: ends[-1]]
    if not hasattr(part, "inverse_transform"):
        one_way = [
            type(step).__name__
            for step in part
            if hasattr(step, "transform") and not hasattr(step, "inverse_transform")
        ]
        raise ValueError(f"nmse_scorer needs inverse_transform of: {', '.join(one_way)}.")
    return part


def probe_recall(search, X, *, rows=None, n_probes=None, n_neighbors=None):
    """Report what a search in lists finds, for several numbers of lists that a query visits.

    Parameters
    ----------
    search : estimator
        A fitted neighbour estimator with lists (`n_lists`). It is left as it is.
    X : array-like of shape (n_queries, n_features)
        Queries like those to come, and not among the training rows.
    rows : array-like of shape (n_samples_fit, n_features), default=None
        The training rows, as the estimator holds them. The truth is then what a search of the
        floats by brute force finds, so that recall counts both what the lists and what the codes
        miss. None compares with what `search` itself finds in all lists, which leaves the codes
        aside.
    n_probes : array-like of int, default=None
        Numbers of lists. None means the powers of two, and all lists.
    n_neighbors : int, default=None
        Neighbours of a query; None means that of `search`.

    Returns
    -------
    report : dict
        Arrays of one length, to be read as the columns of a table: "n_probe", ascending; "recall",
        the share of the true neighbours that are found; and "scanned", the share of the rows that a
        query is compared with on average, which is about in proportion to the time of a search.

    Raises
    ------
    NotFittedError
        If `search` is not fitted.
    ValueError
        If `search` has no lists, `n_probes` holds what is no positive integer, or `rows` are not as
        many as the training rows; and as `kneighbors` does.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import QuantizedNearestNeighbors
    >>> from skquant.metrics import probe_recall
    >>> X, _ = load_digits(return_X_y=True)
    >>> search = QuantizedNearestNeighbors(10, n_lists=40, random_state=0).fit(X[:1500])
    >>> report = probe_recall(search, X[1500:], rows=X[:1500], n_probes=[1, 4, 40])
    >>> report["n_probe"]
    array([ 1,  4, 40])
    >>> bool(report["recall"][0] < 0.8 < 0.9 < report["recall"][1] < report["recall"][2])
    True
    >>> bool(report["scanned"][1] < 0.2 and report["scanned"][2] == 1)
    True
    """
    check_is_fitted(search)
    lists = getattr(search, "lists_", None)
    if lists is None:
        raise ValueError("search has no lists: fit it with n_lists.")
    n_neighbors = search.n_neighbors if n_neighbors is None else n_neighbors
    n_probes = _check_n_probes(n_probes, lists.n_lists)
    if rows is None:
        truth = _with_n_probe(search, lists.n_lists).kneighbors(X, n_neighbors, False)
    else:
        truth = _nearest_floats(search, check_array(rows), check_array(X), n_neighbors)
    recall, scanned = np.empty(len(n_probes)), np.empty(len(n_probes))
    for i, n_probe in enumerate(n_probes):
        some = _with_n_probe(search, int(n_probe))
        found = some.kneighbors(X, n_neighbors, False)
        recall[i], scanned[i] = neighbor_recall(truth, found), some._share_scanned(X, n_neighbors)
    return {"n_probe": n_probes, "recall": recall, "scanned": scanned}


def _check_n_probes(n_probes, n_lists):
    """Give different numbers of lists, ascending."""
    if n_probes is None:
        n_probes = [*(2**i for i in range((n_lists - 1).bit_length())), n_lists]
    n_probes = np.atleast_1d(np.asarray(n_probes))
    if n_probes.ndim != 1 or n_probes.dtype.kind not in "iu" or (n_probes < 1).any():
        raise ValueError(f"n_probes must be positive integers, got {n_probes!r}.")
    return np.unique(n_probes)


def _with_n_probe(search, n_probe):
    """Give the same fitted search with another `n_probe`."""
    return copy(search).set_params(n_probe=n_probe)


def _nearest_floats(search, rows, X, n_neighbors):
    """Find the nearest of the training rows themselves."""
    if len(rows) != search.n_samples_fit_:
        raise ValueError(
            f"rows must be the training rows, of which there are {search.n_samples_fit_}, "
            f"got {len(rows)}."
        )
    return exact_neighbors(rows, X, n_neighbors, search.effective_metric_)
