"""compression_report: its numbers beside plain NumPy, what it prints, what it refuses."""

from dataclasses import asdict

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skquant import (
    LatticeQuantizer,
    LowRankLowPrecisionCompressor,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
    compression_report,
)
from skquant.metrics import bits_scorer, nmse_scorer

rng = np.random.default_rng(0)
X = rng.standard_normal((400, 12)) @ rng.standard_normal((12, 24)) + 3


def recall_among(rows, queries, exact):
    """Share of exact neighbours among those of the same rank in other rows; each row left out."""
    found = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(rows)
    found = found.kneighbors(queries, 11, return_distance=False)
    hits = [
        np.isin(e, [j for j in f if j != i][:10]).mean()
        for i, (e, f) in enumerate(zip(exact, found, strict=True))
    ]
    return np.mean(hits)


def exact_among(rows, metric="euclidean"):
    search = NearestNeighbors(n_neighbors=10, algorithm="brute", metric=metric).fit(rows)
    return search.kneighbors(return_distance=False)


@pytest.mark.parametrize(
    "estimator",
    [
        LatticeQuantizer(bits=2, random_state=0),
        LatticeQuantizer(bits=3, center="rows", random_state=0),
        LatticeQuantizer(bits=1, coding="entropy", lattice="D4", random_state=0),
        LatticeQuantizer(bits=3, coding="hierarchical", random_state=0),
        LowRankLowPrecisionCompressor(rank=8, bits=4, random_state=0),
        LowRankLowPrecisionCompressor(bit_budget=2, coding="entropy", random_state=0),
    ],
    ids=repr,
)
def test_numbers_of_what_compresses(estimator):
    codes = estimator.fit(X).compress(X)
    report = compression_report(estimator, X)
    decoded = codes.toarray()
    nmse = np.sum((X - decoded) ** 2) / np.sum((X - X.mean(axis=0)) ** 2)
    assert report.estimator == type(estimator).__name__
    assert (report.n_samples, report.n_features) == X.shape
    assert report.bits == pytest.approx(codes.bits_per_entry)
    assert report.nbytes == codes.nbytes
    assert report.ratio == pytest.approx(X.nbytes / codes.nbytes)
    assert report.nmse == pytest.approx(nmse, rel=1e-5)
    assert report.bound == pytest.approx(4**-report.bits)
    assert report.excess_bits == pytest.approx(0.5 * np.log2(report.nmse / report.bound))
    assert report.recall == pytest.approx(recall_among(decoded, X, exact_among(X)))


def test_the_error_is_that_of_the_scorer():
    quantizer = LatticeQuantizer(bits=3, random_state=0).fit(X)
    report = compression_report(quantizer, X)
    assert report.nmse == pytest.approx(-nmse_scorer(quantizer, X))
    assert report.bits == bits_scorer(quantizer, X)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("rescore", [None, 2])
def test_numbers_of_neighbours(metric, rescore):
    search = QuantizedNearestNeighbors(bits=2, metric=metric, rescore=rescore, random_state=0)
    report = compression_report(search.fit(X), X)
    rows = X / np.linalg.norm(X, axis=1, keepdims=True) if metric == "cosine" else X
    decoded, nbytes = search.codes_.toarray(), search.codes_.nbytes
    if rescore:
        decoded = decoded + search.rescore_codes_.toarray()
        nbytes += search.rescore_codes_.nbytes
    nmse = np.sum((rows - decoded) ** 2) / np.sum((rows - rows.mean(axis=0)) ** 2)
    found = search.kneighbors(X, 11, return_distance=False)
    found = [[j for j in f if j != i][:10] for i, f in enumerate(found)]
    exact = exact_among(X, metric)
    assert report.bits == bits_scorer(search, X)
    assert report.nbytes == nbytes
    assert report.nmse == pytest.approx(nmse, rel=1e-3)
    hits = [np.isin(e, f).mean() for e, f in zip(exact, found, strict=True)]
    assert report.recall == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("rescore", [None, 2])
def test_numbers_of_lists(rescore):
    search = QuantizedNearestNeighbors(
        bits=2, n_lists=8, n_probe=2, rescore=rescore, random_state=0
    ).fit(X)
    report = compression_report(search, X)
    extra = search.rescore_codes_.nbytes if rescore else 0
    assert report.nbytes == search.lists_.nbytes + extra
    found = search.set_params(rescore=None).kneighbors(X, 1, return_distance=False)
    all_lists = search.set_params(n_probe=8, rescore=rescore)
    assert (found[:, 0] == np.arange(400)).mean() > 0.9
    assert compression_report(all_lists, X).recall > report.recall
    assert report.nmse < (0.02 if rescore else 0.2)
    plain = QuantizedNearestNeighbors(bits=2, rescore=rescore, random_state=0).fit(X)
    assert report.nmse < compression_report(plain, X).nmse  # residuals are smaller than rows


def test_inner_products_may_prefer_other_rows_to_the_own():
    search = QuantizedNearestNeighbors(bits=8, metric="inner_product", random_state=0).fit(X)
    products = X @ X.T
    np.fill_diagonal(products, -np.inf)
    report = compression_report(search, X, n_neighbors=3)
    assert report.n_neighbors == 3
    assert report.recall > 0.9
    coarse = QuantizedNearestNeighbors(bits=0.5, metric="inner_product", random_state=0).fit(X)
    assert compression_report(coarse, X, n_neighbors=3).recall < report.recall - 0.1


def test_a_source_file_raises_recall_and_holds_nothing(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    settings = {"bits": 1, "random_state": 0}
    plain = compression_report(QuantizedNearestNeighbors(**settings).fit(X), X)
    search = QuantizedNearestNeighbors(
        rescore=10, rescore_source=tmp_path / "rows.npy", **settings
    ).fit(X)
    report = compression_report(search, X)
    assert report.recall > plain.recall + 0.1
    assert (report.nbytes, report.nmse) == (plain.nbytes, plain.nmse)


def test_it_reads_what_a_table_prints():
    text = repr(compression_report(LatticeQuantizer(bits=4, random_state=0).fit(X), X))
    report = compression_report(LatticeQuantizer(bits=4, random_state=0).fit(X), X)
    assert text.splitlines()[0] == "LatticeQuantizer: 400 rows of 24 features"
    assert f"{report.nbytes:,d}" in text
    assert f"{report.recall:.3f}" in text


def test_reports_side_by_side_make_a_data_frame():
    pandas = pytest.importorskip("pandas")
    reports = [compression_report(LatticeQuantizer(b, random_state=0).fit(X), X) for b in (1, 4)]
    frame = pandas.DataFrame(reports)
    assert list(frame.columns) == list(asdict(reports[0]))
    assert frame["nmse"].is_monotonic_decreasing
    assert frame["recall"].is_monotonic_increasing


def test_few_rows():
    for n_rows, expected in ((1, np.nan), (2, 1.0), (5, 1.0)):
        quantizer = LatticeQuantizer(bits=8, random_state=0).fit(X[:n_rows])
        report = compression_report(quantizer, X[:n_rows])
        np.testing.assert_equal(report.recall, expected)
        assert report.n_neighbors == max(1, min(10, n_rows - 1))


def test_constant_rows_leave_no_error():
    report = compression_report(LatticeQuantizer().fit(np.ones((5, 4))), np.ones((5, 4)))
    assert report.nmse == 0
    assert report.excess_bits == -np.inf


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_other_dtypes(dtype):
    rows = (X * 5).astype(dtype)
    report = compression_report(LatticeQuantizer(bits=6, random_state=0).fit(rows), rows)
    assert report.nmse < 0.001
    assert report.ratio == pytest.approx(rows.nbytes / report.nbytes)


def test_what_it_cannot_report_on_is_refused():
    with pytest.raises(NotFittedError):
        compression_report(LatticeQuantizer(), X)
    with pytest.raises(ValueError, match="StandardScaler"):
        compression_report(StandardScaler().fit(X), X)
    fitted = QuantizedKNeighborsClassifier().fit(X, np.arange(400) % 2)
    with pytest.raises(ValueError, match="X must hold the training rows"):
        compression_report(fitted, X[:100])
    with pytest.raises(ValueError, match="n_neighbors"):
        compression_report(fitted, X, n_neighbors=0)
    with pytest.raises(ValueError, match="NaN"):
        compression_report(QuantizedKNeighborsTransformer().fit(X), np.where(X > 8, np.nan, X))
