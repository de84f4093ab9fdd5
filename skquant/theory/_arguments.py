"""Arguments that are numbers or arrays of them, and results of their kind."""

import numpy as np


def checked(name, values, low=0.0, high=np.inf, *, left="[", right="]"):
    """Take numbers as a float64 array, or say which parameter is not in the interval."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be real numbers, got {values!r}.") from None
    inside = (array > low) | ((array == low) & (left == "["))
    inside &= (array < high) | ((array == high) & (right == "]"))
    if not inside.all():
        wrong = array[~inside].flat[0]
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {wrong:g}.")
    return array


def unwrapped(values):
    """Give a float for an array without dimensions."""
    return float(values) if np.ndim(values) == 0 else values
