"""Read row terms: small numbers side by side in the last bytes of compressed rows."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def unpack_fields(packed, widths, fields):
    """Split the bytes of rows into unsigned integers of given widths, the lowest bits first.

    Parameters
    ----------
    packed : uint8 ndarray of shape (n_rows, n_bytes)
    widths : int64 ndarray of shape (n_fields,)
        Bits of each; a row has at most eight bytes.
    fields : int64 ndarray of shape (n_fields, n_rows)
        Written to.
    """
    for row in range(packed.shape[0]):
        word = np.uint64(0)
        for i in range(packed.shape[1]):
            word |= np.uint64(packed[row, i]) << np.uint64(8 * i)
        for field in range(len(widths)):
            width = np.uint64(widths[field])
            fields[field, row] = word & ((np.uint64(1) << width) - np.uint64(1))
            word >>= width
