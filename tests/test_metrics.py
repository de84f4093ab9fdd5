"""Scorers and the choice within a budget, on their own and in scikit-learn's searches."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skquant import LatticeQuantizer, QuantizedKNeighborsClassifier
from skquant.metrics import bits_scorer, neighbor_recall, nmse_scorer, within_bit_budget


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def normalised_error(X, reconstructed):
    return np.sum((X - reconstructed) ** 2) / np.sum((X - X.mean(axis=0)) ** 2)


# nmse_scorer


@pytest.mark.parametrize("output", ["dequantized", "codes"])
def test_nmse_of_a_quantizer(digits, output):
    X, _ = digits
    quantizer = LatticeQuantizer(bits=2, output=output, random_state=0).fit(X)
    expected = -normalised_error(X, quantizer.compress(X).toarray())
    assert nmse_scorer(quantizer, X) == pytest.approx(expected, rel=1e-4)
    assert nmse_scorer(quantizer, X) == pytest.approx(quantizer.score(X), rel=1e-4)


def test_nmse_of_a_pipeline_is_in_the_original_features(digits):
    X, y = digits
    pipe = make_pipeline(
        StandardScaler(), PCA(20), LatticeQuantizer(bits=3, random_state=0), KNeighborsClassifier()
    ).fit(X, y)
    scaler, pca, quantizer, _ = pipe
    rows = quantizer.transform(pca.transform(scaler.transform(X)))
    reconstructed = scaler.inverse_transform(pca.inverse_transform(rows))
    assert nmse_scorer(pipe, X, y) == pytest.approx(-normalised_error(X, reconstructed))
    assert nmse_scorer(pipe[:-1], X) == nmse_scorer(pipe, X)


def test_nmse_takes_steps_that_do_nothing(digits):
    X, _ = digits
    quantizer = LatticeQuantizer(bits=3, random_state=0)
    pipe = make_pipeline("passthrough", quantizer).fit(X)
    assert nmse_scorer(pipe, X) == nmse_scorer(pipe[-1], X)


def test_nmse_of_data_frames(digits):
    pd = pytest.importorskip("pandas")
    X, _ = digits
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    quantizer = LatticeQuantizer(bits=3, random_state=0).set_output(transform="pandas").fit(frame)
    assert nmse_scorer(quantizer, frame) == pytest.approx(
        nmse_scorer(LatticeQuantizer(bits=3, random_state=0).fit(X), X)
    )


def test_nmse_in_several_blocks(digits, monkeypatch):
    X, _ = digits
    quantizer = LatticeQuantizer(bits=3, random_state=0).fit(X)
    expected = nmse_scorer(quantizer, X)
    monkeypatch.setattr("skquant._normalised_error._BLOCK_FLOATS", 1000)
    assert nmse_scorer(quantizer, X) == pytest.approx(expected)


def test_nmse_of_constant_rows():
    X = np.full((5, 8), 3.0)
    exact = LatticeQuantizer(bits=4, random_state=0).fit(X)
    assert nmse_scorer(exact, X) == 0
    rough = LatticeQuantizer(bits=1, center=False, random_state=0).fit(X + np.arange(8))
    assert nmse_scorer(rough, X + np.arange(8)) == -np.inf


def test_nmse_needs_a_way_back(digits):
    X, y = digits
    with pytest.raises(ValueError, match="no quantizer that reconstructs in PCA"):
        nmse_scorer(PCA(2).fit(X), X)
    with pytest.raises(ValueError, match="no quantizer that reconstructs"):
        nmse_scorer(QuantizedKNeighborsClassifier().fit(X, y), X)
    pipe = make_pipeline("passthrough", Nystroem(n_components=16), LatticeQuantizer()).fit(X)
    with pytest.raises(ValueError, match=r"needs inverse_transform of: Nystroem\.$"):
        nmse_scorer(pipe, X)


def test_nmse_refuses_bad_rows(digits):
    X, _ = digits
    quantizer = LatticeQuantizer().fit(X)
    with pytest.raises(ValueError, match="NaN"):
        nmse_scorer(quantizer, np.where(X == 0, np.nan, X))
    with pytest.raises(ValueError, match="63 features"):
        nmse_scorer(quantizer, X[:, 1:])


# bits_scorer


def test_bits_of_a_quantizer(digits):
    X, y = digits
    quantizer = LatticeQuantizer(bits=3).fit(X)
    assert bits_scorer(quantizer, X, y) == quantizer.bits_per_feature_
    assert bits_scorer(quantizer, X[:5].tolist()) == quantizer.bits_per_feature_


def test_bits_of_a_classifier(digits):
    X, y = digits
    knn = QuantizedKNeighborsClassifier(bits=3).fit(X, y)
    assert bits_scorer(knn, X, y) == knn.codes_.bits_per_entry > 3


def test_bits_are_per_original_feature(digits):
    X, y = digits
    pipe = make_pipeline(PCA(16), LatticeQuantizer(bits=3), KNeighborsClassifier()).fit(X, y)
    assert bits_scorer(pipe, X, y) == pytest.approx(pipe[1].bits_per_feature_ / 4)
    pipe = make_pipeline(PCA(16), QuantizedKNeighborsClassifier(bits=3)).fit(X, y)
    assert bits_scorer(pipe, X, y) == pytest.approx(pipe[1].codes_.bits_per_entry / 4)


def test_bits_are_those_of_the_last_compression(digits):
    X, y = digits
    pipe = make_pipeline(LatticeQuantizer(bits=8), QuantizedKNeighborsClassifier(bits=2)).fit(X, y)
    assert bits_scorer(pipe, X, y) == pipe[1].codes_.bits_per_entry


def test_bits_need_a_compression(digits):
    X, _ = digits
    with pytest.raises(ValueError, match="no step that compresses in PCA"):
        bits_scorer(PCA(2).fit(X), X)


@pytest.mark.parametrize("scorer", [nmse_scorer, bits_scorer])
@pytest.mark.parametrize("estimator", [LatticeQuantizer(), make_pipeline(LatticeQuantizer())])
def test_scorers_need_a_fitted_estimator(digits, scorer, estimator):
    X, _ = digits
    with pytest.raises(NotFittedError):
        scorer(estimator, X)


# within_bit_budget


def results(score, bits):
    return {"mean_test_nmse": np.array(score), "mean_test_bits": np.array(bits)}


@pytest.mark.parametrize(
    ("score", "bits", "max_bits", "best"),
    [
        ([-0.4, -0.1, -0.02], [1, 2, 3], 2, 1),
        ([-0.4, -0.1, -0.02], [1, 2, 3], 9, 2),
        ([-0.4, -0.1, -0.02], [1, 2, 3], 1.99, 0),
        ([-0.1, -0.1, -0.1, -0.2], [3, 2, 2, 1], 4, 1),  # a tie: fewer bits, then the first
        ([np.nan, -0.3, -0.1], [1, 1, np.nan], 4, 1),  # failed candidates
        ([-np.inf, -0.3], [1, 2], 4, 1),
    ],
)
def test_best_within_budget(score, bits, max_bits, best):
    assert within_bit_budget(max_bits)(results(score, bits)) == best


def test_nothing_within_budget_names_the_least():
    with pytest.raises(ValueError, match=r"No candidate is within max_bits=1: .* 2\.25 bits"):
        within_bit_budget(1)(results([-0.1, -0.2], [3.5, 2.25]))
    with pytest.raises(ValueError, match="not NaN"):
        within_bit_budget(1)(results([np.nan], [np.nan]))


def test_missing_scores_are_named():
    with pytest.raises(ValueError, match=r"has no 'accuracy': pass scoring=\{'accuracy'"):
        within_bit_budget(1, score="accuracy")(results([-0.1], [1]))
    with pytest.raises(ValueError, match="has no 'nmse' and no 'bits'"):
        within_bit_budget(1)({"mean_test_score": np.array([1.0])})


@pytest.mark.parametrize("max_bits", [0, -1, np.nan, "4", None])
def test_budget_must_be_positive(max_bits):
    with pytest.raises(ValueError, match="max_bits must be a positive number"):
        within_bit_budget(max_bits)


def test_budget_can_be_pickled():
    refit = pickle.loads(pickle.dumps(within_bit_budget(2.5)))
    assert refit(results([-0.4, -0.1, -0.02], [1, 2, 3])) == 1


def test_search_of_a_quantizer_within_a_budget(digits):
    X, _ = digits
    search = GridSearchCV(
        LatticeQuantizer(random_state=0),
        {"bits": [1, 2, 3, 4]},
        scoring={"nmse": nmse_scorer, "bits": bits_scorer},
        refit=within_bit_budget(4),
        cv=3,
        n_jobs=2,
        error_score="raise",
    )
    search = pickle.loads(pickle.dumps(search)).fit(X)
    bits = search.cv_results_["mean_test_bits"]
    assert (np.diff(bits) > 0).all()
    assert search.best_index_ == np.flatnonzero(bits <= 4)[-1] < 3
    assert nmse_scorer(search.best_estimator_, X) < 0


def test_search_of_a_pipeline_within_a_budget(digits):
    X, y = digits
    pipe = make_pipeline(PCA(random_state=0), QuantizedKNeighborsClassifier(random_state=0))
    grid = {
        "pca__n_components": [16, 32],
        "quantizedkneighborsclassifier__bits": [2, 4, 8],
    }
    search = GridSearchCV(
        pipe,
        grid,
        scoring={"accuracy": "accuracy", "bits": bits_scorer},
        refit=within_bit_budget(3, score="accuracy"),
        cv=3,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    assert bits_scorer(search.best_estimator_, X) <= 3
    within = search.cv_results_["mean_test_bits"] <= 3
    accuracy = search.cv_results_["mean_test_accuracy"]
    assert 0 < within.sum() < 6
    assert accuracy[search.best_index_] == accuracy[within].max() > 0.9
    assert search.predict(X).shape == y.shape


# neighbor_recall


def test_recall_counts_what_is_found_in_any_order():
    exact = [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert neighbor_recall(exact, exact) == 1
    assert neighbor_recall(exact, [[3, 2, 1, 0], [7, 6, 9, 8]]) == 0.75
    assert neighbor_recall(exact, [[9, 8, 7, 6, 5, 4], [0, 1, 2, 3, 4, 5]]) == 0.25


@pytest.mark.parametrize(
    ("exact", "found"),
    [([[1, 2]], [[1], [2]]), ([1, 2], [1, 2]), ([], []), (np.empty((0, 3)), np.empty((0, 3)))],
)
def test_recall_of_other_shapes_is_refused(exact, found):
    with pytest.raises(ValueError, match="exact and found must be matrices"):
        neighbor_recall(exact, found)
