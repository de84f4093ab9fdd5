"""Rows in panels."""

import numpy as np
import pytest
from reference import room_for, to_panels, to_rows

from skquant._kernels._vectors import LANES
from skquant._panels import empty_panels, put_rows, take_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [0, 1, LANES - 1, LANES, 3 * LANES + 2])
def test_rows_are_put_and_taken(n_rows, dtype):
    rows = np.random.default_rng(0).standard_normal((n_rows, 5)).astype(dtype)
    for panels in (empty_panels(n_rows, 5, dtype), np.empty((1, 5, room_for(n_rows)), dtype)):
        panels[:] = np.nan
        put_rows(rows, panels)
        np.testing.assert_array_equal(to_rows(panels, n_rows), rows)
        np.testing.assert_array_equal(take_rows(panels, n_rows), rows)
        assert not to_rows(panels, room_for(n_rows))[n_rows:].any()


def test_rows_are_put_into_some_coordinates():
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    panels = to_panels(np.full((2, 8), np.nan, np.float32))
    put_rows(rows, panels[:, 4:7])
    np.testing.assert_array_equal(take_rows(panels[:, 4:7], 2), rows)
    assert np.isnan(panels[:, [0, 1, 2, 3, 7]]).all()


@pytest.mark.parametrize("n_rows", [0, 1, LANES, LANES + 1, 5 * LANES])
def test_panels_have_room_for_the_rows(n_rows):
    panels = empty_panels(n_rows, 3)
    assert panels.shape == (room_for(n_rows) // LANES, 3, LANES)
    assert panels.dtype == np.float32
