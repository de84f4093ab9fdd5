"""What distances become in the coordinates of the codes: products, of which few numbers make them.

With x the row, c the centre, r = x - c and u what the row's code words decode to,

    ‖q - x‖² = ‖q - c‖² + ‖r‖² - 2 ⟨q - c, r⟩
    ⟨q, x⟩ = ⟨q - c, r⟩ + ⟨r, c⟩ + ⟨q, c⟩

where ‖r‖² and ⟨r, c⟩ are row terms and only ⟨q - c, r⟩ ≈ ‖r‖²/⟨r, u⟩ ⟨q - c, u⟩ is estimated,
without bias. What remains of a row is an offset and a factor of its product.
"""

import numpy as np

from .._kernels._dispatch import centre_rows

_TINY = np.finfo(np.float64).tiny


def centre_queries(codec, queries, metric):
    """Give unit queries in the codes' coordinates, their lengths, and their part of distances."""
    energy, centre_product = np.empty(len(queries)), np.empty(len(queries))
    centre_rows(queries, codec.mean, np.zeros(len(queries)), energy, centre_product)
    length = np.sqrt(energy)
    coordinates = codec.to_coordinates(queries, codec.mean, 1 / np.maximum(length, _TINY))
    offset = energy if metric == "sqeuclidean" else -centre_product - codec.centre_norm**2
    return coordinates, length, offset


def scale_and_offset(terms, decoded_norm, metric):
    """Give what turns products with code words into distances."""
    factor = terms.unbiased_factor(decoded_norm)
    if metric == "sqeuclidean":
        return -2 * factor, terms.norm**2
    return -factor, -terms.centre_product
