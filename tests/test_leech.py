"""The Leech lattice against its definition, its shortest vectors and published constants."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skquant._codes._leech import Leech
from skquant._codes._trellis import golay_code
from skquant.lattices import Lattice

LATTICE = Leech()
entries = st.floats(-50, 50) | st.integers(-20, 20).map(lambda i: i / np.sqrt(8))
points = hnp.arrays(float, (2, 24), elements=entries)


def golay_words():
    return np.array(list(product((0, 1), repeat=12))) @ golay_code() % 2


def shortest_vectors():
    """List the vectors of squared length 4, times √8 (Conway and Sloane, chapter 10, § 3.2)."""
    vectors, words = [], golay_words()
    for octad in np.flatnonzero(words.sum(axis=1) == 8):
        support = np.flatnonzero(words[octad])
        signs = np.array(list(product((-2, 2), repeat=7)))
        even = np.column_stack([signs, 2 * np.prod(np.sign(signs), axis=1)])
        block = np.zeros((128, 24))
        block[:, support] = even
        vectors.append(block)
    for i in range(24):
        odd = 1.0 - 2 * words
        odd[:, i] *= -3
        vectors.append(odd)
    for i, j in combinations(range(24), 2):
        block = np.zeros((4, 24))
        block[:, [i, j]] = list(product((-4, 4), repeat=2))
        vectors.append(block)
    return np.vstack(vectors)


def is_in_lattice(scaled):
    """Check the definition of the lattice times √8."""
    parity = scaled[:, :1] % 2
    second = (scaled - parity) // 2 % 2
    one_parity = (scaled % 2 == parity).all(axis=1)
    in_code = (second @ golay_code().T % 2 == 0).all(axis=1)
    return one_parity & in_code & (scaled.sum(axis=1) % 8 == 4 * parity[:, 0])


def squared(x):
    return (x**2).sum(axis=-1)


def test_golay_code():
    weights, counts = np.unique(golay_words().sum(axis=1), return_counts=True)
    assert dict(zip(weights, counts, strict=True)) == {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1}


def test_generator():
    generator = LATTICE.generator
    gram = generator @ generator.T
    assert LATTICE.dimension == 24
    assert LATTICE.covolume == pytest.approx(1)
    np.testing.assert_allclose(gram, np.rint(gram), atol=1e-9)
    assert (np.rint(np.diag(gram)) % 2 == 0).all()
    assert is_in_lattice(np.rint(np.sqrt(8) * generator)).all()


def test_kissing_number():
    vectors = shortest_vectors()
    assert len(np.unique(vectors, axis=0)) == 196_560
    assert (squared(vectors) == 32).all()
    found = LATTICE.closest_point(vectors[::7] / np.sqrt(8))
    np.testing.assert_allclose(found, vectors[::7] / np.sqrt(8), atol=1e-12)


@given(points)
def test_closest_point_is_in_the_lattice_and_within_the_covering_radius(x):
    found = LATTICE.closest_point(x)
    assert is_in_lattice(np.rint(np.sqrt(8) * found)).all()
    assert (squared(x - found) <= 2 + 1e-4).all()


def test_no_neighbour_is_closer():
    # The vectors that bound the Voronoi cell have squared length 4 or 6.
    x = np.random.default_rng(0).uniform(-3, 3, (20, 24))
    rest = x - LATTICE.closest_point(x)
    steps = shortest_vectors() / np.sqrt(8)
    assert (2 * rest @ steps.T <= 4 + 1e-5).all()


@given(points)
def test_closest_point_moves_with_the_lattice(x):
    step = LATTICE.closest_point(x[1:])
    moved = LATTICE.closest_point(x[:1] + step) - step
    here = LATTICE.closest_point(x[:1])
    np.testing.assert_allclose(squared(x[0] - moved), squared(x[0] - here), atol=1e-3)


@given(points)
def test_closest_point_of_a_lattice_point_is_itself(x):
    found = LATTICE.closest_point(x)
    np.testing.assert_allclose(LATTICE.closest_point(found), found, atol=1e-9)


def test_points_are_independent_of_each_other_and_not_changed():
    x = np.random.default_rng(1).uniform(-9, 9, (70, 24))
    before = x.copy()
    together = LATTICE.closest_point(x)
    np.testing.assert_array_equal(x, before)
    for alone, point in zip(x[::9], together[::9], strict=True):
        np.testing.assert_array_equal(LATTICE.closest_point(alone[None])[0], point)


def test_second_moment():
    # Conway and Sloane, table 2.3; the standard error of the estimate is near .1 %.
    assert LATTICE.second_moment == pytest.approx(0.065771, abs=5e-7)
    assert Lattice.second_moment.fget(LATTICE) == pytest.approx(0.065771, rel=0.005)
