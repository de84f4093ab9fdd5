"""Lattices: dimension, generator, closest point, normalised second moment.

A lattice is the set of integer combinations of the rows of its generator. The quantizer needs
one operation of it, the closest point; everything else follows. Sources: J. H. Conway and
N. J. A. Sloane, *Sphere Packings, Lattices and Groups*, chapters 4, 20 (closest points) and 21
(second moments).
"""

from copy import copy
from itertools import product

import numpy as np

__all__ = ["A2", "D4", "E8", "LATTICES", "Lattice", "Z", "get_lattice"]


class Lattice:
    """Base class of lattices, and the interface that a lattice of your own implements.

    A subclass sets `generator` and implements `closest_point`. The rest has defaults.

    Attributes
    ----------
    generator : ndarray of shape (dimension, dimension)
        The rows are a basis.
    name : str
        What files and error messages call the lattice; the class name by default.

    See Also
    --------
    skquant.LatticeQuantizer : Takes a lattice by name or as an object.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.lattices import Lattice
    >>> class Checkerboard(Lattice):
    ...     generator = np.array([[1.0, 1.0], [1.0, -1.0]])
    ...
    ...     def closest_point(self, x):
    ...         return np.rint(x @ self.generator / 2) @ self.generator
    >>> Checkerboard().dimension, Checkerboard().covolume
    (2, 2.0)
    >>> Checkerboard().closest_point(np.array([[0.4, 1.1]]))
    array([[1., 1.]])
    """

    generator: np.ndarray

    @property
    def name(self):
        """Name of the lattice, the name of its class by default."""
        return type(self).__name__

    @property
    def dimension(self):
        """Number of coordinates of a lattice point."""
        return self.generator.shape[0]

    @property
    def covolume(self):
        """Volume of a Voronoi cell, the size of the determinant of the generator."""
        return float(abs(np.linalg.det(self.generator)))

    @property
    def second_moment(self):
        """Normalised second moment G = E‖u‖² / (d V^(2/d)), u uniform over the Voronoi cell.

        This default is a Monte-Carlo estimate with a fixed seed and a standard error near
        0.2 %; a subclass that knows the constant overrides it.
        """
        rng = np.random.default_rng(0)
        x = rng.random((100_000 // self.dimension, self.dimension)) @ self.generator
        error = x - self.closest_point(x)
        mean_square = np.einsum("ij,ij->", error, error) / error.size
        return float(mean_square / self.covolume ** (2 / self.dimension))

    @property
    def generic_point(self):
        """A point of shape (dimension,) on which no two cells of a nested code are tied.

        Two cells tie at p where 2⟨v, p⟩/‖v‖² is an integer for a vector v that bounds the Voronoi
        cell. The default only avoids exact ties. The package's lattices are root lattices: there
        p is the Weyl vector over the Coxeter number h, and the products keep 1/h away from all
        integers, which is the farthest.
        """
        fractions = np.arange(1, self.dimension + 1) * 0.6180339887498949 % 1.0 - 0.5
        return 0.3 * fractions @ self.generator

    def closest_point(self, x):
        """Find the lattice point nearest to each row.

        Parameters
        ----------
        x : ndarray of shape (n_points, dimension)
            Any points, float64.

        Returns
        -------
        ndarray of shape (n_points, dimension)
            The nearest lattice points; where several are equally near, any of them, but always
            the same one for the same input.
        """
        raise NotImplementedError(f"{self.name} has to implement closest_point.")

    def __repr__(self):
        return f"{self.name}()"

    def __eq__(self, other):
        return type(self) is type(other) and np.array_equal(self.generator, other.generator)

    def __hash__(self):
        return hash((type(self), self.generator.tobytes()))


class Z(Lattice):
    """The integers: scalar uniform quantization.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.lattices import Z
    >>> Z().closest_point(np.array([[0.2], [-1.7]])).ravel()
    array([ 0., -2.])
    """

    generator = np.eye(1)
    second_moment = 1 / 12
    generic_point = np.array([0.25])

    def closest_point(self, x):
        """Round to the nearest integer.

        Parameters
        ----------
        x : ndarray of shape (n_points, 1)
            Any points.

        Returns
        -------
        ndarray of shape (n_points, 1)
            The nearest lattice points.
        """
        return np.rint(x)


class A2(Lattice):
    """The hexagonal lattice, the best of the plane.

    It is the union of a rectangular lattice with cell 1 x √3 and of its shift by half a cell.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.lattices import A2
    >>> A2().closest_point(np.array([[0.4, 0.8]])).round(3)
    array([[0.5  , 0.866]])
    """

    generator = np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    second_moment = 5 / (36 * np.sqrt(3))
    generic_point = np.array([1.0, np.sqrt(3)]) / 6

    def closest_point(self, x):
        """Take the nearer of the two rectangular candidates.

        Parameters
        ----------
        x : ndarray of shape (n_points, 2)
            Any points.

        Returns
        -------
        ndarray of shape (n_points, 2)
            The nearest lattice points.
        """
        cell = np.array([1.0, np.sqrt(3)])
        return _nearer(x, *(cell * (np.rint(x / cell - s) + s) for s in (0.0, 0.5)))


class D4(Lattice):
    """Integer points with an even sum of coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.lattices import D4
    >>> D4().closest_point(np.array([[0.9, 0.1, 0.2, 0.6]]))
    array([[1., 0., 0., 1.]])
    """

    generator = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [2, 0, 0, 0]], dtype=float)
    second_moment = 13 / (120 * np.sqrt(2))
    generic_point = np.array([3.0, 2.0, 1.0, 0.0]) / 6

    def closest_point(self, x):
        """Round; where the sum is odd, round the worst coordinate the other way.

        Parameters
        ----------
        x : ndarray of shape (n_points, 4)
            Any points.

        Returns
        -------
        ndarray of shape (n_points, 4)
            The nearest lattice points.
        """
        return _closest_even_sum(x)


class E8(Lattice):
    """The Gosset lattice: D8 and D8 shifted by one half in every coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> from skquant.lattices import E8
    >>> E8().closest_point(np.full((1, 8), 0.4))
    array([[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]])
    """

    generator = np.vstack([np.full((1, 8), 0.5), np.eye(6, 8, 1) - np.eye(6, 8), 2 * np.eye(1, 8)])
    second_moment = 929 / 12960
    generic_point = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 23.0]) / 30

    def closest_point(self, x):
        """Take the nearer of the candidates from D8 and from its shift.

        Parameters
        ----------
        x : ndarray of shape (n_points, 8)
            Any points.

        Returns
        -------
        ndarray of shape (n_points, 8)
            The nearest lattice points.
        """
        return _nearer(x, _closest_even_sum(x), _closest_even_sum(x - 0.5) + 0.5)

    def shortest_points(self):
        """List the shortest nonzero points.

        Returns
        -------
        ndarray of shape (240, 8)
            In lexicographic order.
        """
        halves = np.array(list(product((-0.5, 0.5), repeat=8)))
        pairs = np.array([x for x in product((-1.0, 0.0, 1.0), repeat=8) if np.dot(x, x) == 2])
        points = np.vstack([halves[halves.sum(axis=1) % 2 == 0], pairs])
        return points[np.lexsort(points.T[::-1])]


def _closest_even_sum(x):
    """Closest point of D_n, the integer points with an even sum."""
    points = np.rint(x)
    error = x - points
    odd = points.sum(axis=1) % 2 == 1
    rows = np.flatnonzero(odd)
    worst = np.abs(error[rows]).argmax(axis=1)
    points[rows, worst] += np.where(error[rows, worst] > 0, 1.0, -1.0)
    return points


def _nearer(x, first, second):
    """Choose row by row the candidate nearer to x, the first where they tie."""
    distances = [np.einsum("ij,ij->i", x - c, x - c) for c in (first, second)]
    return np.where((distances[1] < distances[0])[:, None], second, first)


LATTICES = {lattice.name: lattice for lattice in (Z(), A2(), D4(), E8())}


def get_lattice(lattice):
    """Look a lattice up by its name, or take the user's own.

    Parameters
    ----------
    lattice : str or lattice object
        A key of `LATTICES`, or an object with `generator` and `closest_point` as `Lattice` has.

    Returns
    -------
    Lattice
        With all that `Lattice` has, also where the object lacks some of it.

    Raises
    ------
    ValueError
        If the name is unknown, the object's generator is no basis of a lattice, or its
        `closest_point` does not find lattice points.

    Examples
    --------
    >>> from skquant.lattices import get_lattice
    >>> get_lattice("E8").dimension
    8
    """
    if isinstance(lattice, str):
        if lattice not in LATTICES:
            raise ValueError(f"Unknown lattice {lattice!r}; choose one of {sorted(LATTICES)}.")
        return LATTICES[lattice]
    try:
        generator = np.asarray(getattr(lattice, "generator", None), dtype=float)
    except (TypeError, ValueError):  # ragged, or no numbers: refused as no square generator
        generator = np.empty(0)
    square = generator.ndim == 2 and generator.shape[0] == generator.shape[1]
    if not square or not generator.size or not callable(getattr(lattice, "closest_point", None)):
        raise ValueError(
            f"lattice must be one of {sorted(LATTICES)} or an object with a square `generator` "
            f"and a method `closest_point`; got {lattice!r}."
        )
    if not np.isfinite(generator).all() or np.linalg.cond(generator) > 1e9:
        raise ValueError(f"The generator of lattice {lattice!r} is not a basis.")
    found = np.asarray(lattice.closest_point(generator))
    tolerance = 1e-6 * np.abs(generator).max()
    if found.shape != generator.shape or not np.allclose(found, generator, 0, tolerance):
        raise ValueError(
            f"lattice {lattice!r} does not find its own points: closest_point(generator) should "
            "give the generator."
        )
    if not isinstance(lattice, Lattice):
        return _Adapted(lattice)
    if not isinstance(lattice.generator, np.ndarray):
        lattice = copy(lattice)
        lattice.generator = generator
    return lattice


class _Adapted(Lattice):
    """A lattice that does not derive from `Lattice`, with the defaults it may lack."""

    def __init__(self, lattice):
        self.lattice = lattice
        self.generator = np.asarray(lattice.generator, dtype=float)

    @property
    def name(self):
        return type(self.lattice).__name__

    def closest_point(self, x):
        return self.lattice.closest_point(x)

    def __eq__(self, other):
        return type(other) is type(self) and self.lattice == other.lattice

    def __hash__(self):
        return hash(self.lattice)


def uniform_over_cell(lattice, n_points, random_state):
    """Draw points uniform over the Voronoi cell, (n_points, dimension): a dither.

    Parameters
    ----------
    lattice : lattice object
    n_points : int
    random_state : RandomState

    Returns
    -------
    ndarray of shape (n_points, dimension)
    """
    generator = np.asarray(lattice.generator, dtype=float)
    points = random_state.random_sample((n_points, len(generator))) @ generator
    return points - lattice.closest_point(points)
