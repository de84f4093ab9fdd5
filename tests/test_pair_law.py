"""What the reconstructions of two related rows have in common."""

import numpy as np
import pytest

from skquant import LatticeQuantizer
from skquant._products._pair_law import pair_law
from skquant.theory import matmul_mse

FIXED, ENTROPY = {"coding": "fixed"}, {"coding": "entropy"}


def codecs(bits=2, seeds=(None, None), n_features=256, **parameters):
    fitted = LatticeQuantizer(bits, center=False, random_state=0, **parameters)
    codec = fitted.fit(np.ones((1, n_features)))._codec
    return [codec if seed is None else codec.with_dither(seed) for seed in seeds]


def common_error(law, correlation):
    """What the errors add to the product of reconstructions."""
    return law.excess(correlation) * law.aligned * correlation


@pytest.mark.parametrize("parameters", [FIXED, ENTROPY, {"lattice": "D4"}], ids=str)
@pytest.mark.parametrize("bits", [0.5, 2])
def test_of_equal_rows_the_same_code_makes_equal_errors(bits, parameters):
    law = pair_law(*codecs(bits, **parameters))
    share = np.sqrt(law.aligned)  # 1 - D
    assert common_error(law, 1.0) == pytest.approx(share * (1 - share), rel=0.02)
    assert common_error(law, 0.0) == 0


@pytest.mark.parametrize("parameters", [FIXED, ENTROPY], ids=str)
@pytest.mark.parametrize("seeds", [(None, None), (1, 2)], ids=str)
def test_products_of_related_rows_are_as_the_law_says(seeds, parameters):
    a, b = codecs(1.5, seeds, **parameters)
    law = pair_law(a, b)
    rng = np.random.default_rng(0)
    rows, noise = rng.standard_normal((2, 300, 256))
    norms = np.linalg.norm(rows, axis=1) ** 2
    for correlation in (-1.0, -0.9, 0.6, 0.97, 1.0):
        others = correlation * rows + np.sqrt(1 - correlation**2) * noise
        left, right = (c.decode(c.encode(x), float) for c, x in ((a, rows), (b, others)))
        expected = law.aligned * correlation + common_error(law, correlation)
        assert np.sum(left * right) / norms.sum() == pytest.approx(expected, rel=0.02)
        assert law.correlation(expected) == pytest.approx(correlation, abs=5e-3)


def test_errors_without_overload_are_unrelated_under_two_dithers():
    for parameters, bits, most in ((ENTROPY, 1.25, 0.01), (ENTROPY, 3, 1e-3), (FIXED, 4, 1e-3)):
        a, b = codecs(bits, (1, 2), **parameters)
        assert np.abs(pair_law(a, b).slopes).max() < most
        assert pair_law(a, a).slopes.max() > 3 * most  # one dither on both sides is none


def test_overload_makes_errors_related_whatever_the_dither():
    law = pair_law(*codecs(1, (1, 2)))
    assert 0.03 < common_error(law, 1.0) / law.aligned < 0.1


def test_a_law_is_measured_once():
    a, b = codecs(2, (1, 2))
    assert pair_law(a, b) is pair_law(a, b)
    assert pair_law(b, a) is not pair_law(a, b)
    assert pair_law(a, b) is pair_law(*codecs(2, (1, 2)))


def test_correlations_beyond_the_law_keep_their_noise():
    law = pair_law(*codecs(2))
    for sign in (1, -1):
        largest = sign * law.aligned + common_error(law, sign)
        assert law.correlation(1.1 * largest) == pytest.approx(1.1 * sign)
        assert law.correlation(largest) == pytest.approx(sign)


def test_rows_of_opposite_signs_need_not_err_alike():
    law = pair_law(*codecs(4))
    assert common_error(law, 1.0) > 4 * abs(common_error(law, -1.0))


def test_small_correlations_see_nothing_of_the_law():
    law = pair_law(*codecs(1))
    small = np.array([-0.1, -0.01, 0, 0.01, 0.1])
    np.testing.assert_allclose(common_error(law, small), 0, atol=0.01 * law.aligned * 0.1)
    np.testing.assert_allclose(law.correlation(law.aligned * small), small, rtol=0.01)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("parameters", "bits"), [(FIXED, 1), (FIXED, 2), (ENTROPY, 2)], ids=str)
def test_unbiased_products_of_related_rows_scatter_as_the_law_says(parameters, bits, own):
    center = "features" if own else False
    fitted = LatticeQuantizer(bits, random_state=0, **parameters).set_params(center=center)
    codec = fitted.fit(np.zeros((1, 128)))._codec
    law = pair_law(codec, codec, "unbiased")
    assert np.any(law.scatters) == (not own)
    rng = np.random.default_rng(1)
    rows, others = rng.standard_normal((2, 1500, 128))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    others -= np.sum(rows * others, axis=1, keepdims=True) * rows
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    distortion = 1 - np.sqrt(law.aligned)
    for correlation in (0.0, 0.7, 0.9, 0.97):
        related = correlation * rows + np.sqrt(1 - correlation**2) * others
        left, right = (unbiased(codec, x) for x in (rows, related))
        measured = np.var(np.sum(left * right, axis=1))
        unrelated = matmul_mse(1, 1, correlation, 128, distortion, distortion,
                               estimator="unbiased", scatter=sum(law.scatters))  # fmt: skip
        expected = unrelated + law.added_variance(correlation) / 128
        assert measured == pytest.approx(expected, rel=0.2)


def unbiased(codec, rows):
    """Reconstructions over the 1 - D that the codec knows."""
    packed = codec.encode(rows)
    return codec.decode(packed, float) / codec.unpack_terms(packed).alignment[:, None] ** 2
