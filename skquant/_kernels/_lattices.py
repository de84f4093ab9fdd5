"""Geometry of the lattices that the kernels know, in blocks of eight coordinates.

Lattices of fewer dimensions are repeated to fill a block. Each coordinate is a vector with a row in
each lane. Eight is a number that the compiler can unroll.
"""

import numpy as np

from ._vectors import bits, flip, from_bits, inlined, least, most, rint, where

BLOCK = 8


@inlined
def _odd(integers):
    """Mark odd integers."""
    return integers * 0.5 != rint(integers * 0.5)


@inlined
def _closest_z(x, out):
    """Closest point of Z^8: round."""
    for i in range(BLOCK):
        out[i] = rint(x[i])


@inlined
def _closest_a2(x, out):
    """Closest points of A2, two coordinates each: the nearer of two rectangular candidates."""
    height = np.sqrt(3.0)
    for i in range(0, BLOCK, 2):
        u, v = x[i], x[i + 1] / height
        u0, v0 = rint(u), rint(v)
        u1, v1 = rint(u - 0.5) + 0.5, rint(v - 0.5) + 0.5
        cost0 = (u - u0) * (u - u0) + (v - v0) * (v - v0) * 3.0
        cost1 = (u - u1) * (u - u1) + (v - v1) * (v - v1) * 3.0
        out[i] = where(cost1 < cost0, u1, u0)
        out[i + 1] = where(cost1 < cost0, v1, v0) * height


@inlined
def _size(error, i):
    """Size of a coordinate's rounding error, as an integer that no other coordinate's equals.

    Bits of floats that are not negative sort like the floats. The last three name the coordinate.
    """
    return bits(abs(error)) & -8 | i


@inlined
def _closest_d4(x, out):
    """Closest points of D4, four coordinates each: round, and mend an odd sum at least cost."""
    for first in range(0, BLOCK, 4):
        parity = rint(x[first])
        largest = _size(x[first] - parity, 0)
        for i in range(1, 4):
            rounded = rint(x[first + i])
            parity = parity + rounded
            largest = most(largest, _size(x[first + i] - rounded, i))
        flipped = where(_odd(parity), largest, -1)
        for i in range(4):
            rounded = rint(x[first + i])
            error = x[first + i] - rounded
            hit = _size(error, i) == flipped
            out[first + i] = rounded + where(hit, flip(abs(error) * 0.0 + 1.0, error), 0.0)


@inlined
def _closest_e8(x, out):
    """Closest point of E8 = D8 u (D8 + 1/2).

    With r = round(x), e = x - r and a = |e|, the closest half-integer point errs by 1/2 - a. One
    pass over the coordinates therefore finds both candidates' parities, costs and cheapest flips.
    """
    parity, error = rint(x[0]), x[0] - rint(x[0])
    zero = parity * 0.0
    sign, total = flip(zero + 1.0, error), abs(error)
    smallest = largest = _size(error, 0)
    for i in range(1, BLOCK):
        rounded = rint(x[i])
        error = x[i] - rounded
        size = _size(error, i)
        parity, sign, total = parity + rounded, flip(sign, error), total + abs(error)
        smallest, largest = least(smallest, size), most(largest, size)
    odd = _odd(parity)
    half_odd = odd ^ (sign < 0.0)
    integer_cost = where(odd, 1.0 - 2.0 * from_bits(largest), zero)
    half_cost = where(half_odd, 2.0 * from_bits(smallest), zero)
    halves = total > 2.0 + half_cost - integer_cost
    flipped = where(halves, where(half_odd, smallest, -1), where(odd, largest, -1))
    stay = where(halves, zero + 0.5, zero)
    jump = where(halves, zero - 0.5, 1.0)
    for i in range(BLOCK):
        rounded = rint(x[i])
        error = x[i] - rounded
        move = where(_size(error, i) == flipped, jump, stay)
        out[i] = rounded + flip(move, error)


@inlined
def closest_point(lattice, x, out):
    """Closest point of the block's lattice."""
    if lattice == 0:
        _closest_z(x, out)
    elif lattice == 1:
        _closest_a2(x, out)
    elif lattice == 2:
        _closest_d4(x, out)
    else:
        _closest_e8(x, out)


@inlined
def _two_largest(x, shift, first, stop):
    """Largest and second largest magnitude of some coordinates of x - shift."""
    largest = abs(x[first] - shift[first])
    second = largest * 0.0
    for i in range(first + 1, stop):
        size = abs(x[i] - shift[i])
        second, largest = most(second, least(largest, size)), most(largest, size)
    return largest, second


@inlined
def _gauge_e8(x, shift):
    """Gauge of E8's cell: roots are integer with two entries, or all halves."""
    sign = x[0] * 0.0 + 1.0
    total, smallest = sign * 0.0, sign * 1e30
    for i in range(BLOCK):
        difference = x[i] - shift[i]
        size = abs(difference)
        sign, total, smallest = flip(sign, difference), total + size, least(smallest, size)
    largest, second = _two_largest(x, shift, 0, BLOCK)
    return most(largest + second, 0.5 * total - where(sign < 0.0, smallest, 0.0))


@inlined
def cell_gauge(lattice, x, shift):
    """Smallest s with x - shift in sV, where V is the Voronoi cell.

    That is the largest <x - shift, 2v/|v|^2> over the shortest vectors v, which are all that bound
    the cells of these lattices.
    """
    gauge = x[0] * 0.0
    if lattice == 0:
        for i in range(BLOCK):
            gauge = most(gauge, 2.0 * abs(x[i] - shift[i]))
    elif lattice == 1:
        for i in range(0, BLOCK, 2):
            u, v = abs(x[i] - shift[i]), abs(x[i + 1] - shift[i + 1])
            gauge = most(gauge, most(2.0 * u, u + np.sqrt(3.0) * v))
    elif lattice == 2:
        for first in range(0, BLOCK, 4):
            largest, second = _two_largest(x, shift, first, first + 4)
            gauge = most(gauge, largest + second)
    else:
        gauge = _gauge_e8(x, shift)
    return gauge


@inlined
def coordinates_of(lattice, point, out):
    """Coordinates of lattice points in the lattice's basis."""
    if lattice == 0:
        for i in range(BLOCK):
            out[i] = point[i]
    elif lattice == 1:
        for i in range(0, BLOCK, 2):
            out[i + 1] = rint(point[i + 1] * (2 / np.sqrt(3.0)))
            out[i] = rint(point[i] - 0.5 * out[i + 1])
    elif lattice == 2:
        for i in range(0, BLOCK, 4):
            out[i], out[i + 1], out[i + 2] = point[i + 1], point[i + 2], point[i + 3]
            out[i + 3] = 0.5 * (point[i] - (out[i] + out[i + 1] + out[i + 2]))
    else:
        out[0] = 2.0 * point[7]
        out[6] = point[6] - point[7]
        for i in range(5, 0, -1):
            out[i] = point[i] - point[7] + out[i + 1]
        out[7] = 0.5 * (point[0] - point[7] + out[1])


@inlined
def points_of(lattice, coordinates, out):
    """Undo `coordinates_of`: combine the rows of the lattice's generator."""
    if lattice == 0:
        for i in range(BLOCK):
            out[i] = coordinates[i]
    elif lattice == 1:
        for i in range(0, BLOCK, 2):
            out[i] = coordinates[i] + 0.5 * coordinates[i + 1]
            out[i + 1] = np.sqrt(0.75) * coordinates[i + 1]
    elif lattice == 2:
        for i in range(0, BLOCK, 4):
            a, b, c = coordinates[i], coordinates[i + 1], coordinates[i + 2]
            out[i], out[i + 1] = a + b + c + 2.0 * coordinates[i + 3], a
            out[i + 2], out[i + 3] = b, c
    else:
        half = 0.5 * coordinates[0]
        out[0] = half - coordinates[1] + 2.0 * coordinates[7]
        for i in range(1, 6):
            out[i] = half + coordinates[i] - coordinates[i + 1]
        out[6], out[7] = half + coordinates[6], half
