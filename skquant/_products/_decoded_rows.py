"""Rows in the coordinates of the codes, laid out for products with each other.

Rows of 16-bit integers are multiplied faster than those of floats, where the machine can. A product
loses to rounding some 1e-5 of the norms of its rows, much less than it has lost to the code; the
finest codes take floats.
"""

import numpy as np

from .._kernels._dispatch import (
    HAS_INTEGERS,
    gather_rows,
    has_amx,
    multiply_tiles,
    multiply_tiles_by_amx,
    round_rows,
)
from .._kernels._tile_products import STEPS_AT_ONCE
from .._kernels._vectors import LANES
from .._panels import aligned_empty

FINEST_FOR_SHORTS = 4e-5  # least distortion of coordinates of unit variance
LARGEST_FACTOR = 1e15  # whose products single precision can hold
MANY_PRODUCTS = 2**17  # for which it pays to cut integers into bytes
STRETCH = 2 * STEPS_AT_ONCE  # coordinates whose products are summed as integers


def rows_for(*row_codes):
    """Choose how to lay out rows of some codes."""
    finest = min(code.distortion / np.mean(code.spreads**2) for code in row_codes)
    return ShortRows if HAS_INTEGERS and finest > FINEST_FOR_SHORTS else FloatRows


def lay_out(panels, n_rows, kind):
    """Lay rows in panels out."""
    rows = kind.empty(n_rows, panels.shape[1])
    rows.put(slice(0, n_rows), panels)
    return rows


class FloatRows:
    """Rows of floats.

    Parameters
    ----------
    words : float32 ndarray of shape (n_rows, n_coordinates)
        The rows.
    """

    def __init__(self, words):
        self.words = words

    @classmethod
    def empty(cls, n_rows, n_coordinates):
        """Make room for rows."""
        return cls(np.empty((n_rows, n_coordinates), np.float32))

    def __len__(self):
        return len(self.words)

    def first(self, n_rows):
        """View some rows."""
        return FloatRows(self.words[:n_rows])

    def put(self, rows, panels):
        """Write a slice of rows, which starts with a panel."""
        gather_rows(panels, self.words[rows])

    def takes_codes_of(self, row_code):
        """Tell whether `decode` serves."""
        return False

    def multiply(self, factor, others, factor_of_others):
        """Multiply all rows by all others, both scaled: float32 (n_rows, n_others)."""
        product = self.words @ others.words.T
        product *= factor[:, None].astype(np.float32)
        product *= factor_of_others.astype(np.float32)
        return product


class ShortRows:
    """Rows of 16-bit integers, in tiles of LANES.

    Parameters
    ----------
    n_rows : int
    tiles : int32 ndarray of shape (n_tiles, n_steps, LANES)
    units : float32 ndarray of shape (n_tiles * LANES,)
        What an integer of each row stands for.
    """

    def __init__(self, n_rows, tiles, units):
        self._n_rows = n_rows
        self._tiles = tiles
        self._units = units

    @classmethod
    def empty(cls, n_rows, n_coordinates):
        """Make room for rows."""
        n_tiles = -(-n_rows // LANES)
        tiles = aligned_empty((n_tiles, -(-n_coordinates // 2), LANES), np.int32)
        return cls(n_rows, tiles, np.empty(n_tiles * LANES, np.float32))

    def __len__(self):
        return self._n_rows

    def first(self, n_rows):
        """View some rows."""
        n_tiles = -(-n_rows // LANES)
        return ShortRows(n_rows, self._tiles[:n_tiles], self._units[: n_tiles * LANES])

    def put(self, rows, panels):
        """Write a slice of rows, which starts with a panel."""
        round_rows(panels, 0, STRETCH, False, *self._place(rows))

    def takes_codes_of(self, row_code):
        """Tell whether `decode` serves."""
        return row_code.short_unit is not None

    def decode(self, rows, row_code, codes, dither):
        """Decode a slice of rows, which starts with a panel; give the squares of their norms."""
        tiles, units = self._place(rows)
        units[:] = row_code.short_unit
        return row_code.decode_shorts(codes, tiles, dither)

    def _place(self, rows):
        """View tiles and units of a slice of rows."""
        first, stop = rows.start // LANES, -(-rows.stop // LANES)
        return self._tiles[first:stop], self._units[first * LANES : stop * LANES]

    def multiply(self, factor, others, factor_of_others):
        """Multiply all rows by all others, both scaled: float32 (n_rows, n_others)."""
        factors = self._scale(factor), others._scale(factor_of_others)
        products = np.zeros(tuple(map(len, factors)), np.float32)
        by_amx = products.size >= MANY_PRODUCTS and has_amx()
        multiply = multiply_tiles_by_amx if by_amx else multiply_tiles
        multiply(self._tiles, factors[0], others._tiles, factors[1], products)
        return products[: len(self), : len(others)]

    def _scale(self, factor):
        """Scale the unit of each row."""
        scaled = np.zeros_like(self._units)
        scaled[: len(factor)] = self._units[: len(factor)] * factor
        return scaled


def multiply_rows(rows, factor, others, factor_of_others, dtype):
    """Multiply all rows by all others, scaled.

    Parameters
    ----------
    rows, others : FloatRows or ShortRows
        Of one kind.
    factor, factor_of_others : float64 ndarray of shape (n_rows,) or (n_others,)
        What rows are multiplied with.
    dtype : dtype
        Of the product.

    Returns
    -------
    ndarray of shape (n_rows, n_others)
    """
    if max(factor.max(initial=0.0), factor_of_others.max(initial=0.0)) <= LARGEST_FACTOR:
        return rows.multiply(factor, others, factor_of_others).astype(dtype, copy=False)
    product = rows.multiply(np.ones(len(rows)), others, np.ones(len(others))).astype(np.float64)
    product *= factor[:, None]
    product *= factor_of_others
    return product
