"""Recall over bits or time."""

from time import perf_counter

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array

from .._exact_neighbors import exact_neighbors
from ..metrics import bits_scorer, neighbor_recall
from ._axes import finish, get_axes

_REPEATS = 3
_AXES = {
    "bits": {"xlabel": "Bits per feature"},
    "time": {"xlabel": "Seconds per query", "xscale": "log"},
}


class RecallDisplay:
    """Recall of a compressed search over the bits that it holds, or the time that it takes.

    Use `from_estimator` or `from_predictions` to make one. Needs matplotlib, of the extra
    ``skquant[examples]``.

    Parameters
    ----------
    recall : array-like of shape (n_points,)
        Share of the exact neighbours that are found.
    bits : array-like of shape (n_points,), default=None
        Bits per feature, everything counted that is held for a row.
    time : array-like of shape (n_points,), default=None
        Seconds per query.
    n_neighbors : int, default=None
        Number of neighbours that the recall is of.
    labels : list of str, default=None
        What is written beside each point.
    estimator_name : str, default=None
        Label of the curve.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.
    line_ : matplotlib Line2D
        The curve.
    texts_ : list of matplotlib Annotation
        The labels of the points.

    See Also
    --------
    skquant.metrics.neighbor_recall : What is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import QuantizedNearestNeighbors, RecallDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> display = RecallDisplay.from_estimator(
    ...     QuantizedNearestNeighbors(random_state=0), X[:1500], X[1500:], param_range=[1, 2, 4]
    ... )
    >>> display.ax_.get_ylabel()
    'Recall of the 10 nearest'
    >>> bool((display.recall[1:] > display.recall[:-1]).all())
    True
    """

    def __init__(
        self,
        *,
        recall,
        bits=None,
        time=None,
        n_neighbors=None,
        labels=None,
        estimator_name=None,
    ):
        self.recall = recall
        self.bits = bits
        self.time = time
        self.n_neighbors = n_neighbors
        self.labels = labels
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        queries,
        *,
        param_name="bits",
        param_range=(1, 2, 3, 4),
        n_neighbors=10,
        against="bits",
        name=None,
        ax=None,
        **kwargs,
    ):
        """Search with several values of a parameter, and draw how many neighbours are found.

        Parameters
        ----------
        estimator : estimator
            Such as `QuantizedNearestNeighbors`; clones of it are fitted.
        X : array-like of shape (n_samples, n_features)
            Rows to search.
        queries : array-like of shape (n_queries, n_features)
            Rows to search for. They should not be among those of `X`, but like them.
        param_name : str, default="bits"
            The parameter to vary: any that `set_params` takes, such as "rescore" or
            "quantizer__bits".
        param_range : array-like, default=(1, 2, 3, 4)
            Its values, which label the points.
        n_neighbors : int, default=10
            Neighbours that are searched for.
        against : {"bits", "time"}, default="bits"
            What the horizontal axis shows. Both are measured: the least time of three calls with
            all queries, after a first one.
        name : str, default=None
            Label of the curve; None means the class's name.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RecallDisplay
            With the curve drawn.

        Raises
        ------
        ValueError
            If the estimator lacks the parameter or refuses a value, or `against` is unknown.
        """
        X, queries = check_array(X, dtype="numeric"), check_array(queries, dtype="numeric")
        y = np.zeros(len(X))  # neighbours do not depend on what classifiers and regressors predict
        exact, points = None, []
        for value in param_range:
            fitted = clone(estimator).set_params(**{param_name: value}).fit(X, y)
            found, time = _search(fitted, queries, n_neighbors)
            if exact is None:
                exact = exact_neighbors(X, queries, n_neighbors, fitted.effective_metric_)
            points.append((neighbor_recall(exact, found), bits_scorer(fitted, X), time))
        recall, bits, time = np.array(points).T
        display = cls(
            recall=recall,
            bits=bits,
            time=time,
            n_neighbors=n_neighbors,
            labels=[str(value) for value in param_range],
            estimator_name=type(estimator).__name__ if name is None else name,
        )
        return display.plot(ax=ax, against=against, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        exact,
        found,
        *,
        bits=None,
        time=None,
        labels=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw the recall of searches that have been made, here or by another library.

        Parameters
        ----------
        exact : array-like of int of shape (n_queries, n_neighbors)
            The exact neighbours of each query.
        found : sequence of array-like of int of shape (n_queries, n_found)
            Those that each search found.
        bits : array-like of shape (n_searches,), default=None
            Bits per feature that each holds.
        time : array-like of shape (n_searches,), default=None
            Seconds per query that each took; drawn against where `bits` are not given.
        labels : list of str, default=None
            What is written beside each point.
        name : str, default=None
            Label of the curve.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RecallDisplay
            With the curve drawn.

        Raises
        ------
        ValueError
            If neither `bits` nor `time` is given, or shapes differ.
        """
        display = cls(
            recall=np.array([neighbor_recall(exact, indices) for indices in found]),
            bits=bits,
            time=time,
            n_neighbors=np.shape(exact)[1],
            labels=labels,
            estimator_name=name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, against=None, name=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        against : {"bits", "time"}, default=None
            What the horizontal axis shows; None means bits, where they are known.
        name : str, default=None
            Label of the curve; None means `estimator_name`.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RecallDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `against` is unknown, or what it asks for is not known or of another length.
        """
        if against is None:
            against = "time" if self.bits is None else "bits"
        if against not in _AXES:
            raise ValueError(f'against must be "bits" or "time", got {against!r}.')
        across = getattr(self, against)
        if across is None or len(across) != len(self.recall):
            raise ValueError(f"{against} must have a value for each of {len(self.recall)} points.")
        ax = get_axes(ax, self)
        style = {"marker": "o", "label": self.estimator_name if name is None else name} | kwargs
        (self.line_,) = ax.plot(across, self.recall, **style)
        labels = [""] * len(across) if self.labels is None else self.labels
        self.texts_ = [
            ax.annotate(label, point, xytext=(4, -10), textcoords="offset points", fontsize="small")
            for label, *point in zip(labels, across, self.recall, strict=True)
        ]
        nearest = f"the {self.n_neighbors} nearest" if self.n_neighbors else "the nearest"
        ax.set(ylabel=f"Recall of {nearest}", **_AXES[against])
        return finish(self, ax)


def _search(estimator, queries, n_neighbors):
    """Give the neighbours found, and the seconds for each query."""
    found = estimator.kneighbors(queries, n_neighbors, return_distance=False)
    times = []
    for _ in range(_REPEATS):
        start = perf_counter()
        estimator.kneighbors(queries, n_neighbors, return_distance=False)
        times.append(perf_counter() - start)
    return found, min(times) / len(queries)
