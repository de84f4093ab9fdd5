"""Lattices against brute force and against published constants."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import COVERING_RADIUS, Plain, closest_point, coset_leaders, points_near

from skquant.lattices import A2, D4, E8, LATTICES, Lattice, Z, get_lattice

every_lattice = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)

# Conway and Sloane, tables 2.3 and 21.1, and the Coxeter numbers of A1, A2, D4, E8.
SECOND_MOMENTS = {"Z": 0.083333, "A2": 0.080188, "D4": 0.076603, "E8": 0.071682}
COVOLUMES = {"Z": 1.0, "A2": np.sqrt(3) / 2, "D4": 2.0, "E8": 1.0}
COXETER_NUMBERS = {"Z": 2, "A2": 3, "D4": 6, "E8": 30}


@st.composite
def lattices_and_points(draw, n_points=1):
    """Draw points in general position, and points where many lattice points tie."""
    lattice = draw(st.sampled_from(list(LATTICES.values())))
    entries = st.floats(-50, 50) | st.integers(-20, 20).map(lambda i: i / 4)
    return lattice, draw(hnp.arrays(float, (n_points, lattice.dimension), elements=entries))


def coordinates(lattice, points):
    return points @ np.linalg.inv(lattice.generator)


def squared(x):
    return (x**2).sum(axis=-1)


@given(lattices_and_points())
def test_closest_point_is_the_closest_by_brute_force(case):
    lattice, x = case
    found = lattice.closest_point(x)
    integers = coordinates(lattice, found)
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-9)
    expected = closest_point(lattice.generator, x[0], COVERING_RADIUS[lattice.name])
    # Where several are equally near, either may have been found.
    np.testing.assert_allclose(squared(x - found), squared(x - expected), atol=1e-9)


@given(lattices_and_points(n_points=3))
def test_closest_point_of_a_lattice_point_is_itself(case):
    lattice, x = case
    found = lattice.closest_point(x)
    np.testing.assert_allclose(lattice.closest_point(found), found, atol=1e-12)


@given(lattices_and_points(n_points=2))
def test_closest_point_moves_with_the_lattice(case):
    lattice, (x, y) = case
    step = lattice.closest_point(y[None])
    moved = lattice.closest_point(x + step) - step
    here = lattice.closest_point(x[None])
    np.testing.assert_allclose(squared(x - moved), squared(x - here), atol=1e-9)


@given(lattices_and_points(n_points=5))
def test_points_are_independent_of_each_other_and_not_changed(case):
    lattice, x = case
    before = x.copy()
    together = lattice.closest_point(x)
    np.testing.assert_array_equal(x, before)
    for alone, point in zip(x, together, strict=True):
        np.testing.assert_array_equal(lattice.closest_point(alone[None])[0], point)


@every_lattice
def test_constants(lattice):
    assert lattice.second_moment == pytest.approx(SECOND_MOMENTS[lattice.name], abs=5e-7)
    assert lattice.covolume == pytest.approx(COVOLUMES[lattice.name], rel=1e-12)


@every_lattice
def test_default_second_moment_is_within_one_per_cent(lattice):
    # Its standard error is .2 %, so that this is five of them.
    assert Plain(lattice).second_moment == pytest.approx(SECOND_MOMENTS[lattice.name], rel=0.01)


@every_lattice
def test_covering_radius_of_the_reference_is_never_exceeded(lattice):
    x = np.random.default_rng(0).uniform(-3, 3, (20_000, lattice.dimension))
    farthest = np.sqrt(squared(x - lattice.closest_point(x)).max())
    assert 0.7 * COVERING_RADIUS[lattice.name] < farthest <= COVERING_RADIUS[lattice.name]


@every_lattice
def test_generic_point_stays_away_from_the_walls(lattice):
    nonzero = points_near(lattice.generator, np.zeros(lattice.dimension), 1.5)
    norms = squared(nonzero).round(9)
    shortest = nonzero[norms == norms[norms > 0].min()]
    assert len(shortest) == {"Z": 2, "A2": 6, "D4": 24, "E8": 240}[lattice.name]
    walls = 2 * shortest @ lattice.generic_point / squared(shortest)
    margin = np.abs(walls - np.rint(walls)).min()
    assert margin == pytest.approx(1 / COXETER_NUMBERS[lattice.name])


class D3(Lattice):
    """The face-centred cubic lattice, of the user's own."""

    generator = np.array([[1, 1, 0], [1, -1, 0], [0, 1, -1]], float)

    def closest_point(self, x):
        points = np.rint(x)
        rows = np.flatnonzero(points.sum(axis=1) % 2)
        error = x[rows] - points[rows]
        worst = np.abs(error).argmax(axis=1)
        points[rows, worst] += np.where(error[np.arange(len(rows)), worst] > 0, 1, -1)
        return points


@pytest.mark.parametrize("lattice", [Z(), A2(), D4(), D3()], ids=repr)
@pytest.mark.parametrize("q", [2, 3, 4])
def test_no_two_members_of_a_coset_tie_for_leadership(lattice, q):
    digits = np.indices((q,) * lattice.dimension).reshape(lattice.dimension, -1).T
    for point in digits @ lattice.generator:
        centre = (point - lattice.generic_point) / q
        near = points_near(lattice.generator, centre, 2.0)
        nearest, second = np.sort(squared(near - centre))[:2]
        assert second - nearest > 1e-3


def test_coset_leaders_are_one_of_each_coset():
    leaders = coset_leaders(D4(), 3, D4().generic_point)
    classes = np.rint(coordinates(D4(), leaders)) % 3
    assert len(np.unique(classes, axis=0)) == 81


# The user's own lattices


def test_get_lattice():
    assert get_lattice("E8") == E8()
    own = D3()
    assert get_lattice(own) is own
    assert own.name == "D3"
    assert repr(own) == "D3()"


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_lattice_may_be_of_any_scale(factor):
    class Scaled(Lattice):
        generator = factor * E8.generator

        def closest_point(self, x):
            return factor * E8().closest_point(x / factor)

    lattice = get_lattice(Scaled())
    assert lattice.second_moment == pytest.approx(E8().second_moment, rel=0.01)


def test_an_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"'E9'.*'A2', 'D4', 'E8', 'Z'"):
        get_lattice("E9")


class WithoutGenerator:
    def closest_point(self, x):
        return np.rint(x)


class WithoutClosestPoint:
    generator = np.eye(2)


def with_generator(generator):
    lattice = D3()
    lattice.generator = np.array(generator, float)
    return lattice


@pytest.mark.parametrize(
    ("lattice", "message"),
    [
        (WithoutGenerator(), "square `generator`"),
        (WithoutClosestPoint(), "closest_point"),
        (with_generator(np.ones((2, 3))), "square `generator`"),
        (with_generator(np.ones(3)), "square `generator`"),
        (with_generator(np.ones((3, 3))), "not a basis"),
        (with_generator(np.zeros((3, 3))), "not a basis"),
        (with_generator(np.full((3, 3), np.nan)), "not a basis"),
        (with_generator(np.diag([1, 1, np.inf])), "not a basis"),
    ],
)
def test_what_is_no_lattice_is_refused(lattice, message):
    with pytest.raises(ValueError, match=message):
        get_lattice(lattice)


def test_closest_point_has_to_be_implemented():
    class Unfinished(Lattice):
        generator = np.eye(2)

    with pytest.raises(NotImplementedError, match="Unfinished has to implement closest_point"):
        Unfinished().closest_point(np.zeros((1, 2)))


def test_lattices_are_values():
    assert E8() == E8()
    assert len({E8(), E8(), D4()}) == 2
    assert Z() != with_generator(np.eye(1))
    assert D3() != with_generator(2 * D3.generator)
    assert pickle.loads(pickle.dumps(E8())) == E8()
