"""Slow, readable versions of what skquant computes, for the tests to compare with.

Nothing here shares code with the package, except for the numbers that define a code or a panel.
"""

from itertools import product

import numpy as np
from scipy.linalg import block_diag, hadamard

from skquant._codes._nested import coset_leaders as shift_and_centroid
from skquant._codes._nested import word_layout
from skquant._kernels._vectors import LANES
from skquant.lattices import Lattice

# No point is farther from its lattice (Conway and Sloane, chapter 4).
COVERING_RADIUS = {"Z": 1 / 2, "A2": 1 / np.sqrt(3), "D4": 1.0, "E8": 1.0}


class Plain(Lattice):
    """A lattice in disguise, so that no kernel knows it and NumPy has to serve it."""

    def __init__(self, lattice):
        self.lattice = lattice
        self.generator = lattice.generator

    generic_point = property(lambda self: self.lattice.generic_point)

    def closest_point(self, x):
        return self.lattice.closest_point(x)


def to_panels(rows, width=LANES):
    """Lay rows side by side in panels; what there is room for beyond them is NaN."""
    n_rows, n_columns = rows.shape
    panels = np.full((-(-n_rows // width), n_columns, width), np.nan, rows.dtype)
    for i, row in enumerate(rows):
        panels[i // width, :, i % width] = row
    return panels


def room_for(n_rows):
    """Round a number of rows up to the least width of a single panel that takes them."""
    return -(-n_rows // LANES) * LANES


def to_rows(panels, n_rows):
    """Take the first rows back from panels."""
    n_columns, width = panels.shape[1:]
    rows = np.empty((n_rows, n_columns), panels.dtype)
    for i in range(n_rows):
        rows[i] = panels[i // width, :, i % width]
    return rows


def points_near(generator, centre, radius):
    """List all lattice points within a radius of the centre (Fincke and Pohst, 1985).

    With the generator's columns made triangular, the last coordinate of a near point lies in an
    interval; for each choice of it the one before lies in a shorter interval; and so on.
    """
    rotation, triangle = np.linalg.qr(np.asarray(generator, float).T)
    target = rotation.T @ centre
    coordinates, left = np.empty((1, 0)), np.array([radius**2 * (1 + 1e-9) + 1e-12])
    for axis in reversed(range(len(centre))):
        pivot = triangle[axis, axis]
        middle = (target[axis] - coordinates @ triangle[axis, axis + 1 :]) / pivot
        reach = np.sqrt(left.max()) / abs(pivot)
        steps = np.arange(np.floor(middle.min() - reach), np.ceil(middle.max() + reach) + 1)
        cost = (pivot * (steps - middle[:, None])) ** 2
        row, step = np.nonzero(cost <= left[:, None])
        coordinates = np.column_stack([steps[step], coordinates[row]])
        left = left[row] - cost[row, step]
    return coordinates @ generator


def closest_point(generator, x, radius):
    """Find the lattice point closest to x, which is known to lie within a radius of it."""
    points = points_near(generator, x, radius)
    return points[((points - x) ** 2).sum(axis=1).argmin()]


def coset_leader(lattice, q, shift, digits):
    """Find the member of a coset of Λ/qΛ that lies in the cell qV + shift."""
    point = digits @ lattice.generator
    radius = COVERING_RADIUS[lattice.name]
    return point - q * closest_point(lattice.generator, (point - shift) / q, radius)


def coset_leaders(lattice, q, shift):
    """List the leaders of all q^d cosets of a lattice."""
    words = product(range(q), repeat=lattice.dimension)
    return np.array([coset_leader(lattice, q, shift, np.array(digits)) for digits in words])


def decode_block(code, word):
    """Decode a block from its bits, given as one integer."""
    base, copies, q = code.lattice.lattice, code.lattice.copies, int(code.q)
    shift = base.generic_point
    word_digits, word_bits = word_layout(code.dimension, q, code.n_bits)
    digits = []
    for bits in map(int, word_bits):
        part, word = word % 2**bits, word // 2**bits
        for _ in range(min(word_digits, code.dimension - len(digits))):
            digits.append(part % q)
            part //= q
    beta = code.scales[min(part, len(code.scales) - 1)]
    leaders = [coset_leader(base, q, shift, c) for c in np.reshape(digits, (copies, -1))]
    centroid = shift_and_centroid(base, q, copies)[1]
    return beta * (np.concatenate(leaders) - centroid)


def least_error(code, x, leaders):
    """Find the least squared error of a block over all words and scales.

    `leaders` are those of one copy of the lattice; the copies of a block err independently.
    """
    parts = x.reshape(code.lattice.copies, 1, -1)
    words = [beta * (leaders - leaders.mean(axis=0)) for beta in code.scales]
    return min(((parts - word) ** 2).sum(axis=2).min(axis=1).sum() for word in words)


def hadamard_rotation(signs):
    """Write the randomised Hadamard rotation as a matrix R: rows x are mapped to x @ R."""
    length = power_of_two(signs.shape[1])
    transform = hadamard(length) / np.sqrt(length)
    return rounds_of_transforms(np.stack([signs, signs[:, ::-1]], axis=1), transform)


def power_of_two(n):
    """Find the largest power of two up to n."""
    return 2 ** (n.bit_length() - 1)


def rounds_of_transforms(factors, transform):
    """Write rounds of a rotation as a matrix, given the factors before each of two transforms."""
    n, length = factors.shape[2], len(transform)
    rest, half = np.eye(n - length), n // 2
    fold, (i, k) = np.eye(n), (np.arange(half), n - half + np.arange(half))
    fold[i, i] = fold[i, k] = fold[k, i] = np.sqrt(0.5)
    fold[k, k] = -np.sqrt(0.5)
    rotation = np.eye(n)
    for before_first, before_last in factors:
        rotation = rotation @ np.diag(before_first)
        if length == n:
            rotation = rotation @ transform
        else:
            rotation = rotation @ fold @ block_diag(transform, rest)
            rotation = rotation @ np.diag(before_last) @ block_diag(rest, transform)
    return rotation


def smallest(distances, k):
    """Give the k smallest entries of each row and their columns, first columns first in ties."""
    columns = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, columns, axis=1), columns
