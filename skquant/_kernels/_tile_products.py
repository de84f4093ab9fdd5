"""Products of rows with rows, both rounded to 16-bit integers in tiles as in `_tiles`.

Some rows of a left tile meet all of a right one at a time: their sums stay in registers. The tiles
are cut into stretches of steps that stay in the cache while they meet, and whose products have to
fit 32 bits.
"""

import numpy as np
from numba import njit

from ._dot import dot_shorts
from ._isa import ARCHITECTURE, VECTOR_BITS
from ._memory import load, store
from ._registers import registers
from ._vectors import LANES, cast, inlined, multiply_add, splat

# As many as leave sums of all lanes in registers.
ROWS_AT_ONCE = {512: 8, 256: 2, 128: 2 if ARCHITECTURE == "aarch64" else 1}[VECTOR_BITS]
STEPS_AT_ONCE = 128  # of a stretch
TILES_AT_ONCE = 8


@inlined
def _multiply_stretch(left, i, row, right, j, start, stop, sums):
    """Multiply some rows of a tile by another tile."""
    for r in range(ROWS_AT_ONCE):
        sums[r] = splat(np.int32(0))
    for step in range(start, stop):
        columns = load(right, (j, step, 0))
        for r in range(ROWS_AT_ONCE):
            sums[r] = dot_shorts(sums[r], columns, left[i, step, row + r])


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_tiles(left, left_factor, right, right_factor, products):
    """Multiply all rows of some tiles by all of others.

    Parameters
    ----------
    left, right : int32 ndarray of shape (n_left_tiles or n_right_tiles, n_steps, LANES)
        No product of the same stretch of two rows may exceed 31 bits.
    left_factor, right_factor : float32 ndarray of shape (n_tiles * LANES,)
        What the products of each row are multiplied with.
    products : float32 ndarray of shape (n_left_tiles * LANES, n_right_tiles * LANES)
        Added to; C-contiguous.
    """
    sums, n_steps = registers(np.int32(0), ROWS_AT_ONCE), left.shape[1]
    for first in range(0, left.shape[0], TILES_AT_ONCE):
        for first_right in range(0, right.shape[0], TILES_AT_ONCE):
            for start in range(0, n_steps, STEPS_AT_ONCE):
                stop = min(start + STEPS_AT_ONCE, n_steps)
                for i in range(first, min(first + TILES_AT_ONCE, left.shape[0])):
                    for j in range(first_right, min(first_right + TILES_AT_ONCE, right.shape[0])):
                        factor = load(right_factor, j * LANES)
                        for row in range(0, LANES, ROWS_AT_ONCE):
                            _multiply_stretch(left, i, row, right, j, start, stop, sums)
                            for r in range(ROWS_AT_ONCE):
                                place = i * LANES + row + r, j * LANES
                                scaled = cast(sums[r], np.float32) * left_factor[place[0]]
                                total = multiply_add(scaled, factor, load(products, place))
                                store(products, place, total)
