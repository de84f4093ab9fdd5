"""Nested codes of E8 as the kernels for small integers take them."""

import numpy as np

from .._kernels._e8 import ERROR_UNIT, MOST_SCALES, E8Code
from .._kernels._e8_encoder import LARGEST, PER_UNIT, UNIT, E8Encoder
from .._kernels._vectors import LANES
from ..lattices import E8


def e8_decoder(code):
    """Give a nested code of E8 as the kernels that decode take it."""
    q, shift = round(code.q), code.shift.astype(float)
    half = round(2**15 / q)
    # What rounding the unit adds to (y - a)/q grows with y: centre it.
    largest = 2 * (q - 1) * np.clip(E8.generator, 0, None).sum(axis=0)
    least = 2 * (q - 1) * np.clip(E8.generator, None, 0).sum(axis=0)
    drift = (half - 2**15 / q) * (largest + least) / 2
    magic_q, _ = _magic(q, q**2)
    magic_q2, shift_q2 = _magic(q**2, q**4)
    scales = np.pad(code.scales, (0, MOST_SCALES - len(code.scales)), mode="edge")
    return E8Code(
        n_bits=code.n_bits,
        scales=scales / 2,
        centres=2 * code.centres,
        units=scales * np.float32(q * ERROR_UNIT),
        offsets=e8_offsets(code),
        q=np.uint16(q),
        q2=np.uint16(q**2),
        q4=np.uint16(q**4 % 2**16),
        inverse_q4=(1 + 2.0**-45) / q**4,
        rough_inverse_q4=(1 + 2.0**-20) / q**4,
        magic_q=magic_q,
        magic_q2=magic_q2,
        shift_q2=shift_q2,
        half=np.uint16(half),
        shift=_in_all_lanes(np.rint(shift * (2**16 / q) + drift) % 2**16, np.uint16),
        shift_of_fours=_in_all_lanes(np.rint(shift * (2**14 / q) + 2**12 / q), np.int16),
        eight_q=np.int16(8 * q),
        two_of_sums=np.uint16(round(2**13 / q)),
        shift_of_sums=np.uint16(round(2**11 - 3.75 - shift.sum() * 2**12 / q) % 2**16),
    )


def e8_offsets(code):
    """Give (a - μ)/q in units of e, and what shifting e to the right has lost on average."""
    offsets = (code.shift.astype(float) - code.centres) / (code.q * ERROR_UNIT)
    return np.rint(offsets + 0.375).astype(np.int16)


def e8_encoder(code, *, is_dithered=False):
    """Give a nested code of E8 as the kernel that encodes takes it.

    A point whose gauge is q - 1.2 is in the cell once it is shifted to the centre and rounded, as
    a gauge changes by at most 1 when a point is rounded or dithered.
    """
    q, real, missing = round(code.q), np.float32, MOST_SCALES - len(code.scales)
    scales = code.scales.astype(float)
    reaches = np.pad(2**14 * scales / scales[-1], (0, missing), constant_values=2**15)
    scales = np.pad(scales, (0, missing), mode="edge")
    return E8Encoder(
        n_bits=code.n_bits,
        bisections=5 if q <= 5 else 3 if q <= 10 else 2,  # one more gains a quarter per cent
        last_scale=np.uint16(len(code.scales) - 1),
        per_gauge=real(2**14 / (LARGEST * q * scales[-1])),
        scales=(scales * UNIT).astype(real),
        reaches=np.rint(reaches).astype(np.uint16),
        inverse_scales=(PER_UNIT / scales).astype(real),
        squares=(65535 * (scales / scales[-1]) ** 2).astype(real),
        centres=(code.centres / UNIT).astype(real),
        starts=np.rint(code.centres / UNIT).astype(np.int16),
        shift=np.rint(code.shift / UNIT).astype(np.int16),
        origin=np.rint(code.origin / UNIT).astype(np.int16),
        reach=np.uint16(q / UNIT),
        edge=real(q / UNIT * 2**15),
        shrinks=tuple(real(max(0, 1 - margin / q)) for margin in (1.2, -0.2, 1.2 + is_dithered)),
        q=np.uint16(q),
        inverse_q=np.uint16(-(-(2**16) // q)),
        many_q=np.uint16(256 // q * q),
        q4=np.uint32(q**4),
    )


def _in_all_lanes(vector, dtype):
    """Repeat the entries of a vector for all lanes."""
    return np.repeat(vector[:, None], LANES, axis=1).astype(dtype)


def _magic(divisor, limit):
    """Find m and s with x // divisor = x * m >> 16 >> s for all x below the limit."""
    numbers = np.arange(limit, dtype=np.uint64)
    for shift in range(16):
        magic = -(-(2 ** (16 + shift)) // divisor)
        quotients = numbers * np.uint64(magic) >> np.uint64(16 + shift)
        if magic < 2**16 and (quotients == numbers // divisor).all():
            return np.uint16(magic), np.uint16(shift)
    raise ValueError(f"no 16-bit reciprocal of {divisor} serves below {limit}")
