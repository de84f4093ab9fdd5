"""Values of a vector's lanes, and how they are compared."""

import numpy as np

from skquant._kernels._vectors import LANES

FLOATS = (np.float32, np.float64)
INTEGERS = (np.int16, np.int32, np.int64, np.uint32, np.uint64)
AWKWARD_FLOATS = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, -7.3, 1e-40, 8388609.0, -3e30, 1e30,
    np.inf, -np.inf, np.nan,
]  # fmt: skip


def awkward(dtype):
    """Give a vector's values of a type, the awkward ones among them."""
    rng = np.random.default_rng(0)
    if dtype in FLOATS:
        values = rng.standard_normal(LANES).astype(dtype)
        values[: len(AWKWARD_FLOATS)] = AWKWARD_FLOATS
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, LANES, dtype)
        values[:7] = limits.min, limits.max, 0, 1, 2, 7, limits.max // 2 + 1
    return values


def assert_same(found, expected):
    """Compare values and types, the signs of zeros included."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype in FLOATS:
        signs = (np.where(np.isnan(x), 0, np.signbit(x)) for x in (found, expected))
        np.testing.assert_array_equal(*signs)
