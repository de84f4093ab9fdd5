"""Predicted against measured errors of products, for pairs of matrices that have structure.

Both matrices of a pair are compressed with one rotation, and multiplied; this for 200 pairs of a
kind, of the norm 1, and as many rotations. A number is the predicted mean squared error over the
measured one, of all entries together, at 1, 2 and 4 bits: 1 is right, below it the error is larger
than predicted. "exact" means that no error is predicted, and none is made but that of float32. The
mean of so many errors is itself within some 3 %, more where entries depend on each other, as those
of constant rows do. Another rotation alone would round the norms of rows as before, which at 4 bits
is much of the error of nearly parallel rows.

"structured_std": what `matmul(A_q, B_q.T, return_std=True)` predicts, from the codes alone; the
default code and no dither.

"structured_theory": `skquant.theory.matmul_mse` of the norms of the centred matrices and of their
product, with a dither on each side and entropy coding, so that the errors of the two sides are
unrelated, as the theory takes them to be. It is told how the scales of rows scatter: they are
rounded, and the unbiased estimates divide by one 1 - D for all rows.

"dither": how far they are from it. Of two equal rows, the product of the reconstructions exceeds
what the theory expects of it by this share; with the same code on both sides and with a dither on
each, and of rows with a correlation of .9.

Image rows are of Fashion-MNIST, weights the rows of the first dense layer of MiniLM.

    python benchmarks/structured_products.py
"""

from functools import cache, partial

import numpy as np
from datasets import fashion_mnist, feed_forward
from report import Table, show
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer, matmul
from skquant._products._pair_law import pair_law
from skquant.theory import matmul_mse

N_ROWS, N_FEATURES = 32, 256
RATES = (1, 2, 4)
RATES_OF_DITHER = (0.5, 1, 1.5, 2, 3, 4)
ESTIMATORS = ("least_squares", "unbiased")
ROUNDING = 1e-12  # of products in float32: below it an error is none


def low_rank(rng):
    """Rows of both in one space of four dimensions."""
    basis = rng.standard_normal((4, N_FEATURES))
    return [rng.standard_normal((N_ROWS, 4)) @ basis for _ in "AB"]


def heavy_tailed(rng):
    """Student's t of 1.5 degrees of freedom, which has no variance."""
    return [rng.standard_t(1.5, (N_ROWS, N_FEATURES)) for _ in "AB"]


def sparse(rng):
    """Three entries in a hundred are not zero."""
    shape = N_ROWS, N_FEATURES
    return [rng.standard_normal(shape) * (rng.random(shape) < 0.03) for _ in "AB"]


def constant(rng):
    """Both have rows of one number."""
    return [np.outer(rng.standard_normal(N_ROWS), np.ones(N_FEATURES)) for _ in "AB"]


def constant_beside_others(rng):
    """Rows of one number, and Gaussian rows with a mean."""
    return constant(rng)[0], 1 + rng.standard_normal((N_ROWS, N_FEATURES))


def spikes(rng):
    """Rows of one entry; one in four of them at the same place in both."""
    places = rng.permutation(N_FEATURES)
    kinds = places[:N_ROWS], places[N_ROWS * 3 // 4 :][:N_ROWS]
    return [rng.uniform(1, 3, (N_ROWS, 1)) * np.eye(N_FEATURES)[kind] for kind in kinds]


def correlated(rng, correlation):
    """Each row of one is related to a row of the other."""
    A, noise = rng.standard_normal((2, N_ROWS, N_FEATURES))
    return A, correlation * A + np.sqrt(1 - correlation**2) * noise


@cache
def images():
    return fashion_mnist()[2]


@cache
def weights():
    return feed_forward()


def neighbouring(rows, rng):
    """Take some rows of real data, and the next ones."""
    first = rng.integers(len(rows) - 2 * N_ROWS + 1)
    return np.split(np.asarray(rows[first : first + 2 * N_ROWS], float), 2)


PAIRS = {
    "low rank": low_rank,
    "heavy-tailed": heavy_tailed,
    "sparse": sparse,
    "constant rows": constant,
    "constant and Gaussian rows": constant_beside_others,
    "one spike a row": spikes,
    "rows correlated by .7": partial(correlated, correlation=0.7),
    "rows correlated by .95": partial(correlated, correlation=0.95),
    "a matrix and itself": partial(correlated, correlation=1.0),
    "image rows": lambda rng: neighbouring(images(), rng),
    "weights": lambda rng: neighbouring(weights(), rng),
}


def centred(A, B, quantizer):
    """Take from both what the quantizer takes."""
    if quantizer.center == "rows":
        return [X - X.mean(axis=1, keepdims=True) for X in (A, B)]
    return A - quantizer.mean_, B - quantizer.mean_


def expect(A, B, quantizer, a, b, estimator):
    """Predict the squared error of the whole product by the theory."""
    residuals = centred(A, B, quantizer)
    norms = [np.linalg.norm(X) for X in (*residuals, residuals[0] @ residuals[1].T)]
    kept = a._codec.row_code.n_coordinates / A.shape[1]
    distortion = 1 - a._codec.terms.gaussian_alignment**2 / kept
    return matmul_mse(
        *norms,
        A.shape[1],
        distortion,
        distortion,
        kept=kept,
        estimator=estimator,
        scatter=scatter_of_scales(a, b, estimator),
    )


def scatter_of_scales(a, b, estimator):
    """Sum the relative variances of what rows are scaled by: rounding, and a common 1 - D."""
    rounding = (x._codec.terms.rounding_variance(x._codec.unpack_terms(x._rows)) for x in (a, b))
    common = pair_law(a._codec, b._codec, estimator).scatters if estimator == "unbiased" else ()
    return sum(np.mean(variances) for variances in rounding) + sum(common)


def squared_errors(A, B, quantizer, dithered):
    """Measured and predicted squared errors of one rotation, (n_estimators, 3)."""
    quantizer.fit(np.concatenate([A, B]))
    seeds = (1, 2) if dithered else (None, None)
    a, b = (quantizer.compress(X, dither_seed=i) for X, i in zip((A, B), seeds, strict=True))
    results = []
    for estimator in ESTIMATORS:
        product, std = matmul(a, b.T, estimator=estimator, return_std=True)
        error = np.sum((product - A @ B.T) ** 2)
        results.append((error, np.sum(std**2), expect(A, B, quantizer, a, b, estimator)))
    return results


def mean_errors(kind, n_rotations, *, dithered=False, **parameters):
    """Average squared errors over pairs of a kind and rotations."""
    errors = []
    with threadpool_limits(1):
        for i in range(n_rotations):
            pair = [X / np.linalg.norm(X) for X in PAIRS[kind](np.random.default_rng(i))]
            quantizer = LatticeQuantizer(**parameters, random_state=i)
            errors.append(squared_errors(*pair, quantizer, dithered))
    means = np.mean(errors, axis=0)
    return np.where(means < ROUNDING, 0.0, means)


def ratio(predicted, error):
    """Write what was predicted over the error."""
    if error == 0 == predicted:
        return "exact"
    return f"{predicted / error:.3f}" if error else "inf"


def compare(name, which, settings, n_rotations):
    """Fill a table with ratios; `which` prediction is 1 for matmul's and 2 for the theory's."""
    rows = []
    for pair in PAIRS:
        for options in settings:
            errors = [mean_errors(pair, n_rotations, bits=bits, **options) for bits in RATES]
            for kind, estimator in enumerate(ESTIMATORS):
                ratios = [ratio(e[kind][which], e[kind][0]) for e in errors]
                rows.append((pair, str(options["center"]), estimator, *ratios))
    columns = ["pair", "center", "estimator", *(f"{bits} bits" for bits in RATES)]
    return Table(name, [(column, "") for column in columns], rows)


def related_errors():
    """Measure how far the errors of two sides are related, with and without dither."""
    rows = []
    for coding in ("fixed", "entropy"):
        for bits in RATES_OF_DITHER:
            quantizer = LatticeQuantizer(bits, coding=coding, center=False, random_state=0)
            codec = quantizer.set_params(objective="product").fit(np.ones((1, 1024)))._codec
            dithered = [codec.with_dither(seed) for seed in (1, 2)]
            laws = pair_law(codec, codec), pair_law(*dithered)
            distortions = [1 - np.sqrt(law.aligned) for law in laws]
            shares = [float(law.excess(rho)) for rho in (0.9, 1.0) for law in laws]
            rows.append((coding, bits, *distortions, *shares))
    columns = [("coding", ""), ("bits", "g"), ("D", ".4g"), ("D, dither", ".4g")]
    columns += [(name, ".1%") for name in (".9", ".9, dither", "equal", "equal, dither")]
    return Table("dither", columns, rows)


def run(n_rotations=200):
    """Compare both predictions with what is measured."""
    centers = [{"center": center} for center in (False, "rows", "features")]
    unrelated = {"coding": "entropy", "objective": "product", "dithered": True}
    return [
        compare("structured_std", 1, centers, n_rotations),
        compare("structured_theory", 2, [{**c, **unrelated} for c in centers[:2]], n_rotations),
        related_errors(),
    ]


if __name__ == "__main__":
    show(run())
