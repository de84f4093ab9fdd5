"""Trellises against the lattices that they describe, and the search against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skquant._codes._trellis import HAMMING, TRELLIS_CODES, trellis_code
from skquant._kernels._vectors import LANES
from skquant._panels import empty_panels, put_rows, take_rows
from skquant.lattices import LATTICES

every_code = pytest.mark.parametrize("name", TRELLIS_CODES)
small_codes = pytest.mark.parametrize("name", ["Z", "A2", "D4", "E8", "Trellis"])


def quantize(code, rows, gain=1.0, shift=None):
    panels = empty_panels(*rows.shape)
    put_rows(rows.astype(np.float32), panels)
    gains = np.full((len(panels), LANES), gain, np.float32)
    return take_rows(code.quantize(panels, gains, shift), len(rows))


def follow(code, residues):
    """Give the state after residues, None where they are impossible."""
    state = 0
    for residue in residues:
        state = code.following[state, residue]
        if state < 0:
            return None
    return state


def closest_by_enumeration(code, x):
    """Find the least squared distance of x, in units of the axes, to a sequence of the code."""
    axes, distances = np.resize(code.axes, len(x)).astype(float), []
    for residues in product(range(code.modulus), repeat=len(x)):
        if follow(code, residues) is not None:
            place = (x - residues) / code.modulus
            distances.append((((place - np.rint(place)) * code.modulus * axes) ** 2).sum())
    return min(distances)


@small_codes
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_sequences_are_the_closest_by_enumeration(name, seed, n):
    code = trellis_code(name)
    x = np.random.default_rng(seed).uniform(-9, 9, n).astype(np.float32)
    axes = np.resize(code.axes, n)
    found = quantize(code, (x * axes)[None])[0]
    assert follow(code, found % code.modulus) is not None
    distance = (((x - found) * axes) ** 2).sum()
    # The trellis code counts in units of 2^-8, a step at a time.
    assert distance <= closest_by_enumeration(code, x.astype(float)) + 0.01 * n


@pytest.mark.parametrize("name", ["A2", "D4", "E8"])
def test_closest_points_are_as_close_as_the_lattice_finds_them(name):
    code, lattice = trellis_code(name), LATTICES[name]
    d = lattice.dimension
    scale = code.covolume / lattice.covolume ** (1 / d)
    x = np.random.default_rng(0).uniform(-5, 5, (40_000, d))
    mine = (x - quantize(code, x) * code.axes) ** 2
    theirs = scale**2 * (x / scale - lattice.closest_point(x / scale)) ** 2
    assert mine.mean() == pytest.approx(theirs.mean(), rel=0.01)


@every_code
def test_second_moment(name):
    code = trellis_code(name)
    n = 24 * (10 if code.taps is None else 100)
    x = np.random.default_rng(0).uniform(-20, 20, (1000 if code.taps is None else 200, n))
    error = (x - quantize(code, x) * np.resize(code.axes, n)) ** 2
    measured = error[:, n // 10 :].mean() / code.covolume**2  # the start of a trellis is coarse
    assert measured == pytest.approx(code.second_moment, rel=0.01)


def test_second_moments_are_the_published_ones():
    published = {"Z": 0.083333, "A2": 0.080188, "D4": 0.076603, "E8": 0.071682, "Leech": 0.065771}
    for name, moment in published.items():
        assert trellis_code(name).second_moment == pytest.approx(moment, abs=5e-7)
    # 1.33 dB of granular gain for 256 states (Marcellin and Fischer, 1990, table III).
    assert 10 * np.log10(1 / 12 / trellis_code("Trellis").second_moment) > 1.33


def test_states_of_the_minimal_trellises():
    assert np.diff(trellis_code("E8").first_state).tolist() == [1, 2, 4, 8, 4, 8, 4, 2]
    assert np.diff(trellis_code("D4").first_state).tolist() == [1, 2, 2, 2]


def test_hamming_code_is_its_own_dual():
    assert not (HAMMING @ HAMMING.T % 2).any()


@every_code
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60))
def test_sequences_are_independent_of_the_other_rows(name, seed, n):
    rng, code = np.random.default_rng(seed), trellis_code(name)
    rows = rng.normal(0, 10.0 ** rng.integers(-2, 6), (LANES + 3, n))
    together = quantize(code, rows)
    np.testing.assert_array_equal(quantize(code, rows[-1:]), together[-1:])
    np.testing.assert_array_equal(quantize(code, rows[::-1])[::-1], together)


@every_code
def test_a_shift_moves_rows_before_they_are_rounded(name):
    code, rng = trellis_code(name), np.random.default_rng(0)
    rows, shift = rng.normal(0, 4, (5, 48)), rng.normal(0, 1, 48).astype(np.float32)
    moved = rows + shift * np.resize(code.axes, 48)
    assert (quantize(code, rows, shift=shift) == quantize(code, moved)).mean() > 0.98


@every_code
def test_enormous_values_stay_in_range(name):
    code = trellis_code(name)
    found = quantize(code, np.array([[1e30, -1e30, 0.4] * 16]))
    assert follow(code, found[0] % code.modulus) is not None
    assert (np.abs(found) <= 2**30).all()
