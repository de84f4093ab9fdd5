"""Frequencies of the integers of a trellis code, given the state of the trellis.

Rows of unit variance become integers that are nearly Gaussian, with a spread that grows with the
bits of a row. A state of the trellis allows some residues modulo M; the integers of these
residues, the *context* of the state, get the probabilities

    p(y) ∝ exp(-(a y)² / 2σ²),

with a the length of a unit along the coordinate. A symbol stands for a residue and a level, a range
of neighbours of that residue: one, or a power of two that raw bits tell apart, where a hundred
levels would not do. Integers beyond the levels share the symbol of an *escape* for each residue and
follow as 32 raw bits.

σ comes from a geometric grid, so that a whole number names the model, and all arithmetic is
decimal, whose exponential is correctly rounded: every machine derives the same frequencies.
"""

from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np

from .._kernels._entropy import ESCAPE_BITS, MAX_SYMBOLS, PRECISION, Model
from ._trellis import trellis_code

SPREADS_PER_OCTAVE = 32
REACH = 5.0  # σ up to which integers have symbols of their own
MAX_LEVELS = 126
_EXACT = Context(prec=25)


@lru_cache(maxsize=64)
def entropy_model(name, spread):
    """Build the model of a trellis code.

    Parameters
    ----------
    name : str
        The name of the code.
    spread : int
        σ is 2^(spread/32).

    Returns
    -------
    model : Model
    expected_rate : float
        Bits of a coordinate to expect of Gaussian rows, all states being equally frequent.
    """
    code = trellis_code(name)
    kinds, context = _contexts(code)
    first, n_levels, bits = _levels(code, spread)
    levels = np.arange(first, first + n_levels) * (code.modulus << bits)
    values = levels[:, None] + np.arange(code.modulus)
    raw_bits = np.repeat([bits, ESCAPE_BITS], [values.size, code.modulus])
    shape = len(kinds), MAX_SYMBOLS
    slots, owner = np.empty((2, len(kinds), 2**PRECISION), np.int32)
    symbol, cost = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    mean_cost = np.zeros(len(kinds))
    for i, (unit, *allowed) in enumerate(kinds.tolist()):
        possible = np.flatnonzero(np.tile(allowed, n_levels + 1))
        weights = _weights(values, code.modulus << bits, unit, spread)[possible]
        weights = weights if weights.any() else weights + 1  # far from zero, all are as rare
        shares = _apportion(weights)
        slots[i], after = _spread_slots(shares)
        # What is taken or moved between a step and the next brings the head back to 15 bits.
        owner[i, slots[i]] = np.repeat(possible, shares) << 19 | _short_bits(after) << 15 | after
        first_slot = np.cumsum(shares) - shares
        symbol[i, possible] = _short_bits(shares) << 28 | first_slot << 14 | shares
        cost[i, possible] = PRECISION - np.log2(shares) + raw_bits[possible]
        mean_cost[i] = np.average(cost[i, possible], weights=weights.astype(float))
    following = np.maximum(code.following, 0)  # an impossible residue is never read
    model = Model(
        residue_bits=code.modulus.bit_length() - 1,
        level_bits=bits,
        first_level=first,
        n_levels=n_levels,
        start_context=int(context[0]),
        following=(context[following] << 16 | following).astype(np.int32).ravel(),
        cost=cost.ravel(),
        symbol=symbol.astype(np.uint32).view(np.int32).ravel(),
        slots=slots.ravel(),
        owner=owner.ravel(),
    )
    n_states = np.diff(code.first_state)
    rates = np.add.reduceat(mean_cost[context], code.first_state[:-1]) / n_states
    return model, float(rates.mean())


def _contexts(code):
    """Tell the kinds of states apart: squared unit, and which residues may follow."""
    units = np.repeat(code.squared_axes, np.diff(code.first_state))
    kinds = np.column_stack([units, code.following >= 0])
    kinds, context = np.unique(kinds, axis=0, return_inverse=True)
    return kinds, context.reshape(-1)


def _levels(code, spread):
    """Lay out the symbols of a residue: the first level, their number, and bits in a level."""
    unit = min(code.squared_axes) ** 0.5
    reach = int(REACH * 2 ** (spread / SPREADS_PER_OCTAVE) / (code.modulus * unit)) + 1
    bits = 0
    while 2 * (reach >> bits) + 2 > MAX_LEVELS:
        bits += 1
    first = -reach >> bits
    return first, (reach >> bits) + 1 - first, bits


def _weights(values, width, unit, spread):
    """Weigh symbols by the middle of their integers, as whole numbers; escapes weigh nothing."""
    modulus = values.shape[1]
    middles = (2 * values + width - modulus).ravel()
    with localcontext(_EXACT):
        rate = Decimal(2) ** (Decimal(-2 * spread) / SPREADS_PER_OCTAVE) * unit / 8
        weights = [int((-rate * m * m).exp().scaleb(18)) for m in middles.tolist()]
    return np.array(weights + [0] * modulus, object)


def _apportion(weights):
    """Share 2^14 among symbols by weight, at least one each, by largest remainders."""
    total, scale = int(weights.sum()), 2**PRECISION
    rare = weights * scale < total
    total, scale = total - int(weights[rare].sum()), scale - int(rare.sum())
    frequency = np.where(rare, 1, np.maximum(weights * scale // total, 1))
    remainders = np.where(rare, -1, weights * scale % total)
    order = np.argsort(-remainders, kind="stable")
    frequency[order[: 2**PRECISION - int(frequency.sum())]] += 1
    return frequency.astype(np.int64)


def _spread_slots(frequency):
    """Give each symbol slots at even distances: one symbol's after another's, and f + rank."""
    after = np.concatenate([np.arange(f, 2 * f) for f in frequency])
    each = np.repeat(frequency, frequency)
    order = np.argsort(((2 * (after - each) + 1) << 40) // each, kind="stable")
    slots = np.empty_like(order)
    slots[order] = np.arange(len(order))
    return slots, after


def _short_bits(number):
    """Count the binary digits that numbers have less than 15."""
    return PRECISION + 1 - np.frexp(number)[1].astype(np.int64)
