"""Entropy-coded rows against a decoder of whole numbers, their budget and the bound."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skquant._codes._entropy import EntropyRowCode, switching_rate
from skquant._codes._entropy_model import entropy_model
from skquant._codes._trellis import TRELLIS_CODES, trellis_code
from skquant._kernels._entropy import MAX_SYMBOLS, PRECISION
from skquant._kernels._vectors import LANES
from skquant._panels import empty_panels, put_rows, take_rows

every_code = pytest.mark.parametrize("name", TRELLIS_CODES)
quick_codes = pytest.mark.parametrize("name", ["Z", "A2", "D4", "E8", "Trellis"])
sizes = st.tuples(st.integers(1, 150), st.floats(0.3, 20))


def in_panels(rows):
    panels = empty_panels(*rows.shape)
    put_rows(rows.astype(np.float32), panels)
    return panels


def encode(row_code, rows, **kwargs):
    codes = np.zeros((len(rows), row_code.n_bytes), np.uint8)
    return codes, row_code.encode(in_panels(rows), codes, **kwargs)


def decode(row_code, codes, **kwargs):
    panels = empty_panels(len(codes), row_code.n_coordinates)
    energy = row_code.decode(codes, panels, **kwargs)
    rows = take_rows(panels, len(codes)).astype(float)
    np.testing.assert_allclose(energy, (rows**2).sum(axis=1), rtol=1e-6)
    return rows


def gaussian(n_rows, n, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n_rows, n))
    return rows / np.sqrt((rows**2).mean(axis=1, keepdims=True))


def read_by_whole_numbers(row_code, row):
    """Decode a row with Python's integers, one step after the other."""
    model, code, scale = row_code.model, row_code.code, 2**PRECISION
    first_escape = model.n_levels * code.modulus
    stream = int.from_bytes(row.tobytes()[: row_code.n_bytes], "little")
    bits = [stream >> k & 1 for k in reversed(range(8 * row_code.n_bytes))]
    head, context, state, points = 1, model.start_context, 0, []

    def take(head, width):
        """Take the next bits, the lowest first, as many as there are."""
        width = min(width, len(bits))
        taken = [bits.pop() for _ in range(width)]
        return head << width | sum(bit << k for k, bit in enumerate(taken))

    head = take(head, PRECISION)
    for _ in range(row_code.n_coordinates):
        entry = int(model.owner[context * scale + head % scale])
        symbol = entry >> 19
        frequency = int(model.symbol[context * MAX_SYMBOLS + symbol]) & (scale - 1)
        rank = (entry & (2 * scale - 1)) - frequency
        head = frequency * (head // scale) + rank
        width = 0
        while bits and head << width < scale:
            width += 1
        head = take(head, width)
        level, residue = symbol // code.modulus + model.first_level, symbol % code.modulus
        if symbol >= first_escape:
            number = take(head, 16)
            head, low = number >> 16, number & 0xFFFF
            number = take(head, 16)
            head, level = number >> 16, (number & 0xFFFF) << 16 | low
        elif model.level_bits:
            number = take(head, model.level_bits)
            head = number >> model.level_bits
            level = level << model.level_bits | number & (2**model.level_bits - 1)
        points.append((level * code.modulus + residue + 2**31) % 2**32 - 2**31)
        packed = int(model.following[state * code.modulus + residue])
        state, context = packed & 0xFFFF, packed >> 16
    return np.array(points)


@quick_codes
@given(size=sizes, seed=st.integers(0, 2**32 - 1))
@example(size=(13, 24.0), seed=0)
@example(size=(1, 1.0), seed=0)
def test_rows_come_back(name, size, seed):
    n, n_bytes = size[0], max(1, round(size[0] * size[1] / 8))
    row_code = EntropyRowCode.choose(name, n, n_bytes)
    rows = gaussian(3, n, seed)
    codes, moments = encode(row_code, rows)
    decoded, rows = decode(row_code, codes), rows.astype(np.float32).astype(float)
    assert row_code.n_bytes <= n_bytes
    np.testing.assert_allclose(moments[:, 1], (decoded**2).sum(axis=1), rtol=1e-6)
    inner = (rows * decoded).sum(axis=1)
    np.testing.assert_allclose(moments[:, 0], inner, rtol=1e-6, atol=1e-9)
    expected = [read_by_whole_numbers(row_code, row) * row_code.steps for row in codes]
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


@every_code
@pytest.mark.parametrize("n_bytes", [5, 31, 64, 97, 300])
def test_all_bytes_are_read_as_whole_numbers_say(name, n_bytes):
    row_code = EntropyRowCode.choose(name, 53, n_bytes)
    random = np.random.default_rng(n_bytes)
    codes = random.integers(256, size=(LANES + 5, row_code.n_bytes), dtype=np.uint8)
    codes[0], codes[1] = 0, 255
    decoded = decode(row_code, codes)
    assert np.isfinite(decoded).all()
    expected = [read_by_whole_numbers(row_code, row) * row_code.steps for row in codes]
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


@every_code
@pytest.mark.parametrize("rate", [0.9, 1.3, 2.5, 4, 9])
def test_rows_of_any_kind_fit(name, rate):
    n = 256
    row_code = EntropyRowCode.choose(name, n, int(rate * n) // 8)
    random = np.random.default_rng(0)
    rows = np.array(
        [
            np.zeros(n),
            np.eye(n)[7],
            np.ones(n),
            random.standard_cauchy(n),
            random.standard_normal(n) * (np.arange(n) < 9),
            np.where(np.arange(n) % 2, 1e-4, 1),
            random.standard_normal(n),
        ]
    )
    norms = np.sqrt((rows**2).mean(axis=1, keepdims=True))
    rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    codes, moments = encode(row_code, rows)
    decoded = decode(row_code, codes)
    assert not decoded[0].any()
    explained = moments[1:, 0] ** 2 / moments[1:, 1] / n
    assert (explained > 0).all()
    assert explained[0] > 0.99  # a single entry, which a factor repairs
    np.testing.assert_allclose(moments[:, 1], (decoded**2).sum(axis=1), rtol=1e-6)


@every_code
@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_scale_of_a_row_does_not_matter(name, factor):
    row_code, rows = EntropyRowCode.choose(name, 64, 32), gaussian(4, 64)
    codes, _ = encode(row_code, rows)
    scaled, _ = encode(row_code, factor * rows)
    differs = (decode(row_code, codes) != decode(row_code, scaled)).mean()
    assert differs < 0.05


@every_code
def test_codes_do_not_depend_on_the_other_rows(name):
    row_code, rows = EntropyRowCode.choose(name, 100, 37), gaussian(2 * LANES + 3, 100)
    rows[5] *= 1e6
    together, _ = encode(row_code, rows)
    for some in (slice(3, 4), slice(LANES - 2, LANES + 9), slice(None, None, -1)):
        np.testing.assert_array_equal(encode(row_code, rows[some])[0], together[some])


def test_bytes_beyond_the_row_are_left_alone():
    row_code, rows = EntropyRowCode.choose("E8", 40, 21), gaussian(5, 40)
    codes = np.full((5, 30), 0, np.uint8)
    codes[:, 21:] = 77
    row_code.encode(in_panels(rows), codes)
    assert (codes[:, 21:] == 77).all()
    np.testing.assert_array_equal(decode(row_code, codes), decode(row_code, codes[:, :21].copy()))


@pytest.mark.parametrize(("name", "gap"), [("Z", 0.2546), ("D4", 0.1938), ("E8", 0.1460),
                                           ("Leech", 0.0840), ("Trellis", 0.0316)])  # fmt: skip
@pytest.mark.parametrize("rate", [2, 4])
def test_distance_to_the_bound(name, gap, rate):
    n = 1024
    row_code = EntropyRowCode.choose(name, n, rate * n // 8)
    _, moments = encode(row_code, gaussian(64, n))
    distortion = 1 - np.mean(moments[:, 0] ** 2 / moments[:, 1]) / n
    # Of the gap, what the codes of Leech and of the trellis do not fill, and the estimate's error.
    assert rate + np.log2(distortion) / 2 == pytest.approx(gap, abs=0.012)
    assert row_code.distortion == pytest.approx(distortion, rel=0.03)


def test_the_error_is_uncorrelated_to_the_decoded_row():
    row_code = EntropyRowCode.choose("E8", 1024, 200)
    _, moments = encode(row_code, gaussian(100, 1024))
    assert moments[:, 0].sum() == pytest.approx(moments[:, 1].sum(), rel=0.01)


@every_code
def test_dither_makes_the_error_independent_of_the_row(name):
    n, random = 480, np.random.RandomState(0)
    row_code = EntropyRowCode.choose(name, n, 240)
    row, errors = gaussian(1, n), []
    for _ in range(40):
        dither = row_code.draw_dither(random)
        codes, _ = encode(row_code, row, dither=dither)
        errors.append(decode(row_code, codes, dither=dither)[0] - row[0])
    code = row_code.code
    assert np.abs(np.mean(dither)) < 0.5 * code.covolume
    bias = np.mean(errors, axis=0)
    # What is left of the row is the least-squares factor, and the error of the mean.
    bias -= bias @ row[0] / (row[0] @ row[0]) * row[0]
    assert np.mean(bias**2) < 2.5 * np.mean(np.square(errors)) / 40


@every_code
@pytest.mark.parametrize("spread", [-64, -20, 0, 40, 100, 300])
def test_frequencies_add_up(name, spread):
    model, rate = entropy_model(name, spread)
    n_contexts = len(model.owner) >> PRECISION
    frequency = (model.symbol & (2**PRECISION - 1)).reshape(n_contexts, MAX_SYMBOLS)
    assert (frequency.sum(axis=1) == 2**PRECISION).all()
    assert (np.sort(model.slots.reshape(n_contexts, -1)) == np.arange(2**PRECISION)).all()
    if spread > 0:
        code = trellis_code(name)
        ideal = np.log2(2 * np.pi * np.e) / 2 + spread / 32 - np.log2(code.covolume)
        assert rate == pytest.approx(ideal, abs=0.03)


def test_models_are_the_same_on_every_machine():
    # Bytes written elsewhere have to be read here: these numbers must never change.
    model, _ = entropy_model("E8", 16)
    frequency = (model.symbol & (2**PRECISION - 1)).astype(int)[model.cost > 0]
    weights = np.arange(1, len(frequency) + 1)
    assert (len(frequency), int(frequency @ weights % 1_000_003)) == (40, 794_665)


@pytest.mark.parametrize(("name", "rate"), [("Trellis", 0.977), ("Leech", 1.086), ("E8", 1.205)])
def test_switching_rate(name, rate):
    found = switching_rate(name)
    assert found == pytest.approx(rate, abs=0.01)
    constant = 2 * np.pi * np.e * trellis_code(name).second_moment
    rates = np.linspace(0.5, 2, 3001)
    gains = (1 - constant * 4.0**-rates) ** 2 / rates
    assert found == pytest.approx(rates[gains.argmax()], abs=1e-3)
