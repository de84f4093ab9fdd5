"""Distortion over rate."""

import numpy as np
from sklearn.base import clone

from ..metrics import bits_scorer, nmse_scorer
from ..theory import distortion_rate
from ._axes import finish, get_axes


class RateDistortionDisplay:
    """Distortion of a quantizer over its rate, beside the bound.

    Use `from_estimator` to make one. Needs matplotlib, of the extra ``skquant[examples]``.

    Parameters
    ----------
    rate : array-like of shape (n_rates,)
        Bits per feature, everything counted.
    distortion : array-like of shape (n_rates,)
        Normalised mean squared error.
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
    bound_ : matplotlib Line2D or None
        The bound 4^-R: no code does better on a Gaussian row, and a randomly rotated row looks
        like one. Data with structure can be below it where the rotation is learned.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skquant import LatticeQuantizer, RateDistortionDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> display = RateDistortionDisplay.from_estimator(
    ...     LatticeQuantizer(random_state=0), X, bits=[1, 2, 4]
    ... )
    >>> display.ax_.get_ylabel()
    'Normalised mean squared error'
    """

    def __init__(self, *, rate, distortion, estimator_name=None):
        self.rate = rate
        self.distortion = distortion
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator, X, *, bits=(1, 2, 3, 4, 6, 8), name=None, plot_bound=True, ax=None, **kwargs
    ):
        """Fit a quantizer at several budgets and draw what it reaches.

        Parameters
        ----------
        estimator : estimator with a parameter `bits`
            Such as `LatticeQuantizer`; clones of it are fitted.
        X : array-like of shape (n_samples, n_features)
            Rows to fit and to reconstruct.
        bits : array-like of float, default=(1, 2, 3, 4, 6, 8)
            Values of `bits`.
        name : str, default=None
            Label of the curve; None means the class's name.
        plot_bound : bool, default=True
            Whether to draw the bound.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RateDistortionDisplay
            With the curve drawn.
        """
        fitted = [clone(estimator).set_params(bits=b).fit(X) for b in bits]
        display = cls(
            rate=np.array([bits_scorer(quantizer, X) for quantizer in fitted]),
            distortion=np.array([-nmse_scorer(quantizer, X) for quantizer in fitted]),
            estimator_name=type(estimator).__name__ if name is None else name,
        )
        return display.plot(ax=ax, plot_bound=plot_bound, **kwargs)

    def plot(self, ax=None, *, name=None, plot_bound=True, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        name : str, default=None
            Label of the curve; None means `estimator_name`.
        plot_bound : bool, default=True
            Whether to draw the bound.
        **kwargs : dict
            Passed to matplotlib's `plot`.

        Returns
        -------
        RateDistortionDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = get_axes(ax, self)
        style = {"marker": "o", "label": self.estimator_name if name is None else name} | kwargs
        (self.line_,) = ax.plot(self.rate, self.distortion, **style)
        self.bound_ = None
        if plot_bound:
            rates = np.linspace(min(self.rate), max(self.rate), 100)
            (self.bound_,) = ax.plot(rates, distortion_rate(rates), "k--", label="bound")
        ax.set(xlabel="Bits per feature", ylabel="Normalised mean squared error", yscale="log")
        return finish(self, ax)
