"""The derived codes, and the numbers that they have to beat."""

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from skquant._codes._nested import count_scales, fill_block
from skquant._codes._scales import (
    MAX_BITS_PER_ENTRY,
    available_bits,
    code_for,
    derive_code,
    derive_shortest_point_code,
    gaussian_blocks,
    scalar_code,
    simulate_distortion,
)
from skquant.lattices import D4, E8, LATTICES, Lattice, Z

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)


@every_lattice
def test_the_table_is_decreasing_and_convex(lattice):
    bits = np.array(available_bits(lattice))
    distortion = np.array([code_for(lattice, b).distortion for b in bits])
    slopes = np.diff(distortion) / np.diff(bits)
    assert (slopes < 0).all()
    assert (np.diff(slopes) > 0).all()
    # From one bit an entry to the most that is used, so that every budget has a code.
    assert (bits[0], bits[-1]) == (8, 8 * MAX_BITS_PER_ENTRY)


@every_lattice
def test_the_codes_of_the_table_fit_their_bits(lattice):
    for bits in available_bits(lattice):
        code = code_for(lattice, bits)
        assert code.n_bits == bits
        assert code.dimension == 8
        assert len(code.scales) <= (count_scales(8, code.q, bits) if code.q else 1)
        assert (np.diff(code.scales) > 0).all()


def test_the_table_says_where_it_comes_from():
    text = files("skquant._codes").joinpath("_scales.json").read_text(encoding="utf-8")
    table = json.loads(text)
    assert table["provenance"] == "python benchmarks/derive_scales.py"
    assert table["codes"].keys() == LATTICES.keys()


@pytest.mark.parametrize(
    ("bits", "published"),
    [(8, 0.36), (16, 0.100), (32, 0.0066)],
)
def test_e8_beats_what_is_published(bits, published):
    assert code_for(E8(), bits).distortion < published


def test_better_lattices_give_better_codes():
    for bits in (32, 47, 63):
        moments = [code_for(lattice, bits).distortion for lattice in LATTICES.values()]
        assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize(("lattice", "bits"), [(Z(), 8), (E8(), 16), (D4(), 18)], ids=str)
def test_derivation_comes_to_what_the_table_says(lattice, bits):
    derived, shipped = derive_code(fill_block(lattice), bits), code_for(lattice, bits)
    assert (derived.q, len(derived.scales)) == (shipped.q, len(shipped.scales))
    # 4000 blocks instead of 20000: scales are flat optima, distortions have an error of 1 %.
    np.testing.assert_allclose(derived.scales, shipped.scales, rtol=0.15)
    fresh = gaussian_blocks(20_000, 8)
    distortions = [simulate_distortion(code, *fresh) for code in (derived, shipped)]
    assert distortions[0] == pytest.approx(distortions[1], rel=0.02)
    assert derived.distortion == pytest.approx(shipped.distortion, rel=0.04)


def test_the_code_of_the_shortest_points_is_derived_alike():
    """A byte for eight coordinates: it beats any nested code, and 256 words of k-means (.327)."""
    shipped = code_for(E8(), 8)
    derived = derive_shortest_point_code(
        fill_block(E8()), n_blocks=4000, max_evaluations=25, check_blocks=20_000
    )
    np.testing.assert_allclose(derived.scales, shipped.scales, rtol=0.02)
    assert derived.distortion == pytest.approx(shipped.distortion, rel=0.02)
    assert shipped.distortion == pytest.approx(0.3212, rel=0.01)
    assert derive_code(fill_block(E8()), 8).distortion > 1.05 * shipped.distortion


def test_the_sample_of_wide_and_narrow_blocks_is_weighted_to_be_gaussian():
    blocks, weights = gaussian_blocks(200_000, 3)
    assert np.average(weights) == pytest.approx(1, rel=0.01)
    for power, moment in [(2, 1), (4, 3), (6, 15)]:
        measured = np.average((blocks**power).mean(axis=1), weights=weights)
        assert measured == pytest.approx(moment, rel=0.03)


# Codes derived for the user's own lattice


class Square(Lattice):
    generator = np.eye(2)

    def closest_point(self, x):
        return np.rint(x)


def test_a_lattice_of_the_users_own_gets_codes_at_whole_bits_an_entry():
    assert available_bits(Square()) == list(range(8, 129, 8))
    code = code_for(Square(), 16)
    assert code.n_bits == 16
    assert code.distortion < 1.2 * simulate_distortion(
        scalar_code(8, 16), *gaussian_blocks(4000, 8)
    )
    assert code_for(Square(), 16) is code  # derived once


# Uniform scalar quantization


@pytest.mark.parametrize(("bits", "best"), [(2, 0.1188), (3, 0.0374), (4, 0.01154)])
def test_scalar_codes_are_the_best_uniform_quantizers(bits, best):
    assert scalar_code(1, bits).distortion == pytest.approx(best, rel=2e-3)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_distortion_of_scalar_codes_is_the_integral(bits):
    code = scalar_code(1, bits)
    levels = code.scales[0] * (np.arange(code.q) - (code.q - 1) / 2)
    cells = np.r_[-12, (levels[1:] + levels[:-1]) / 2, 12]
    pieces = [
        quad(lambda x, level=level: (x - level) ** 2 * norm.pdf(x), low, high)[0]
        for level, low, high in zip(levels, cells[:-1], cells[1:], strict=True)
    ]
    assert code.distortion == pytest.approx(sum(pieces), rel=1e-6)


@pytest.mark.parametrize("n_coordinates", [1, 2, 5, 7])
def test_scalar_codes_use_as_many_levels_as_fit(n_coordinates):
    for n_bits in range(n_coordinates, 16 * n_coordinates + 1, n_coordinates // 2 + 1):
        q = scalar_code(n_coordinates, n_bits).q
        assert q**n_coordinates <= 2**n_bits
        if n_bits <= 48:  # more take two words, each of which is rounded up
            assert (q + 1) ** n_coordinates > 2**n_bits
