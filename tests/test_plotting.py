"""Displays: what they compute, what they draw, and what they say without matplotlib."""

import sys

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import LatticeQuantizer, RateDistortionDisplay
from skquant.theory import distortion_rate

X = np.random.default_rng(0).standard_normal((60, 32))


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_curve_is_what_the_quantizer_reaches(pyplot):
    estimator = LatticeQuantizer(lattice="D4", random_state=0)
    display = RateDistortionDisplay.from_estimator(estimator, X, bits=[1, 3.5], color="r")
    fitted = [LatticeQuantizer(bits, lattice="D4", random_state=0).fit(X) for bits in (1, 3.5)]
    np.testing.assert_allclose(display.rate, [q.bits_per_feature_ for q in fitted])
    np.testing.assert_allclose(display.distortion, [-q.score(X) for q in fitted])
    np.testing.assert_array_equal(display.line_.get_xdata(), display.rate)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.distortion)
    assert display.line_.get_color() == "r"
    assert display.line_.get_label() == "LatticeQuantizer"
    assert not hasattr(estimator, "lattice_")


def test_the_bound_is_drawn_unless_it_is_not_wanted(pyplot):
    display = RateDistortionDisplay(rate=[1, 4], distortion=[0.3, 0.006], estimator_name="E8")
    bound = display.plot().bound_
    np.testing.assert_allclose(bound.get_ydata(), distortion_rate(bound.get_xdata()))
    assert display.ax_.get_yscale() == "log"
    figure, ax = pyplot.subplots()
    assert display.plot(ax=ax, plot_bound=False, name="other").bound_ is None
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other"]


def test_an_estimator_without_bits_is_refused(pyplot):
    with pytest.raises(ValueError, match="bits"):
        RateDistortionDisplay.from_estimator(make_pipeline(StandardScaler()), X)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'skquant\[examples\]'"):
        RateDistortionDisplay(rate=[1], distortion=[0.3]).plot()
