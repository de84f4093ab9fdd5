"""Displays: what they compute, what they draw, and what they say without matplotlib."""

import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import (
    LatticeQuantizer,
    QuantizedKNeighborsClassifier,
    QuantizedNearestNeighbors,
    RateDistortionDisplay,
    RecallDisplay,
)
from skquant.metrics import bits_scorer, neighbor_recall
from skquant.theory import distortion_rate

X = np.random.default_rng(0).standard_normal((60, 32))
rows, queries = np.random.default_rng(1).standard_normal((2, 300, 16))


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


@pytest.mark.parametrize(
    "display",
    [RateDistortionDisplay(rate=[1], distortion=[0.3]), RecallDisplay(bits=[1], recall=[0.3])],
)
def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, display):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    name = type(display).__name__
    with pytest.raises(ImportError, match=rf"{name} needs .* pip install 'skquant\[examples\]'"):
        display.plot()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_recall_is_that_of_searches(pyplot, metric):
    estimator = QuantizedNearestNeighbors(metric=metric, random_state=0)
    display = RecallDisplay.from_estimator(
        estimator, rows, queries, param_range=[1, 3.5], n_neighbors=5, color="r"
    )
    exact = NearestNeighbors(metric=metric, algorithm="brute").fit(rows).kneighbors(queries)[1]
    for point, bits in enumerate((1, 3.5)):
        fitted = QuantizedNearestNeighbors(bits=bits, metric=metric, random_state=0).fit(rows)
        assert display.recall[point] == neighbor_recall(exact, fitted.kneighbors(queries)[1])
        assert display.bits[point] == bits_scorer(fitted, rows)
    assert (display.time > 0).all()
    np.testing.assert_array_equal(display.line_.get_xdata(), display.bits)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.recall)
    assert display.line_.get_color() == "r"
    assert display.line_.get_label() == "QuantizedNearestNeighbors"
    assert [text.get_text() for text in display.texts_] == ["1", "3.5"]
    assert display.ax_.get_ylabel() == "Recall of the 5 nearest"
    assert not hasattr(estimator, "codes_")


def test_recall_of_another_parameter_against_time(pyplot):
    display = RecallDisplay.from_estimator(
        QuantizedKNeighborsClassifier(bits=1, random_state=0),
        rows,
        queries,
        param_name="rescore",
        param_range=[None, 4],
        against="time",
    )
    assert display.recall[1] > display.recall[0]
    np.testing.assert_array_equal(display.line_.get_xdata(), display.time)
    assert display.ax_.get_xlabel() == "Seconds per query"
    assert display.plot(against="bits").ax_.get_xlabel() == "Bits per feature"


def test_recall_from_predictions(pyplot):
    exact = [[0, 1], [2, 3]]
    figure, ax = pyplot.subplots()
    display = RecallDisplay.from_predictions(
        exact, [exact, [[1, 5], [6, 7]]], time=[0.1, 0.01], labels=["all", "few"], name="x", ax=ax
    )
    np.testing.assert_array_equal(display.recall, [1, 0.25])
    assert display.ax_ is ax
    assert display.ax_.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x"]
    assert [text.xy for text in display.texts_] == [(0.1, 1), (0.01, 0.25)]


def test_points_without_a_place_are_refused(pyplot):
    with pytest.raises(ValueError, match="time must have a value for each of 1 points"):
        RecallDisplay(recall=[1]).plot()
    with pytest.raises(ValueError, match="bits must have a value for each of 2 points"):
        RecallDisplay(recall=[1, 1], bits=[1]).plot()
    with pytest.raises(ValueError, match='against must be "bits" or "time"'):
        RecallDisplay(recall=[1], bits=[1]).plot(against="bytes")
