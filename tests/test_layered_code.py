"""Layered codes against NumPy: nearest words, what they leave over, bytes and energies."""

import numpy as np
import pytest

from skquant import LatticeQuantizer, QuantizedMatrix
from skquant._codecs._coarse_layer import add_coarse_layer
from skquant._codes._entropy import EntropyRowCode
from skquant._codes._layered import (
    DISTORTION,
    REST_FACTOR,
    SCALE,
    LayeredRowCode,
    points,
)
from skquant._codes._row_code import spend_bits
from skquant._panels import empty_panels, put_rows, take_rows
from skquant.lattices import D4, E8

WORDS = (points().T.astype(float) - 4) / 2


def gaussian(n_rows, n_coordinates, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_coordinates), dtype=np.float32)


def encoded(code, X):
    panels, codes = empty_panels(*X.shape), np.zeros((len(X), code.n_bytes), np.uint8)
    put_rows(X, panels)
    return codes, code.encode(panels, codes)


def decoded(decode, codes, n_coordinates):
    panels = empty_panels(len(codes), n_coordinates)
    energy = decode(codes, panels)
    return take_rows(panels, len(codes)), energy


def nearest_words(X):
    """Index of the word nearest to each block of four, and what the words stand for."""
    blocks = np.pad(X.astype(float), ((0, 0), (0, -X.shape[1] % 4))).reshape(len(X), -1, 1, 4)
    index = ((blocks - SCALE * WORDS) ** 2).sum(axis=-1).argmin(axis=-1)
    return index, (SCALE * WORDS)[index].reshape(len(X), -1)[:, : X.shape[1]]


def packed(index):
    """Four words in three bytes, the bits of the fourth from the top down."""
    out = []
    for first in range(0, index.shape[1], 4):
        own = index[:, first : first + 4].astype(np.uint8)
        if own.shape[1] == 4:
            top = np.stack([own[:, 3] >> 4, own[:, 3] >> 2 & 3, own[:, 3] & 3], axis=1)
            own = own[:, :3] | top << 6
        out.append(own)
    return np.hstack(out)


def test_words_are_the_shells_of_d4_around_the_midpoint_of_an_edge():
    assert len(np.unique(WORDS, axis=0)) == 64
    points = WORDS + [0.5, 0.5, 0, 0]
    np.testing.assert_array_equal(D4().closest_point(points), points)
    np.testing.assert_array_equal(np.unique(WORDS, axis=0), np.unique(-WORDS, axis=0))
    radii, counts = np.unique((WORDS**2).sum(axis=1), return_counts=True)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 4), axis=-1).reshape(-1, 4)
    grid = grid[grid.sum(axis=1) % 2 == 0] - [0.5, 0.5, 0, 0]
    all_radii, all_counts = np.unique((grid**2).sum(axis=1), return_counts=True)
    np.testing.assert_array_equal(radii, all_radii[: len(radii)])
    np.testing.assert_array_equal(counts, all_counts[: len(radii)])


@pytest.mark.parametrize("n_coordinates", [1, 6, 13, 64, 130])
@pytest.mark.parametrize("n_rows", [1, 40])
def test_rows_become_nearest_words_and_the_code_of_the_rest(n_coordinates, n_rows):
    X, rest = gaussian(n_rows, n_coordinates), spend_bits(E8(), n_coordinates, 3 * n_coordinates)
    code = LayeredRowCode(rest)
    codes, moments = encoded(code, X)
    index, words = nearest_words(X)
    np.testing.assert_array_equal(codes[:, rest.n_bytes :], packed(index))
    of_rest, _ = encoded(rest, (X - words).astype(np.float32) / REST_FACTOR)
    own, _ = decoded(rest.decode, codes[:, : rest.n_bytes].copy(), n_coordinates)
    other, _ = decoded(rest.decode, of_rest, n_coordinates)
    np.testing.assert_allclose(own, other, atol=1e-5)
    U, energy = decoded(code.decode, codes, n_coordinates)
    np.testing.assert_allclose(U, words + REST_FACTOR * own, atol=1e-5)
    np.testing.assert_allclose(energy, (U.astype(float) ** 2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(moments[:, 0], (X.astype(float) * U).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(moments[:, 1], energy)
    coarse, energy = decoded(code.decode_words, codes, n_coordinates)
    np.testing.assert_allclose(coarse, words, atol=1e-5)
    np.testing.assert_allclose(energy, (words**2).sum(axis=1), rtol=1e-5)
    vectors = gaussian(3, n_coordinates, seed=1)
    products, energy = code.multiply(codes, vectors)
    np.testing.assert_allclose(products, U @ vectors.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [2, 3, 3.5])
def test_distortion_is_that_of_gaussian_rows(bits):
    X = gaussian(2000, 64)
    code = LayeredRowCode(spend_bits(E8(), 64, int(bits * 64)))
    U, _ = decoded(code.decode, encoded(code, X)[0], 64)
    assert np.mean((X - U) ** 2) == pytest.approx(code.distortion, rel=0.1)
    assert code.distortion == pytest.approx(DISTORTION * code.rest.distortion)


def test_coarse_layer_follows_the_spread_of_coordinates():
    X = gaussian(3000, 40) * np.linspace(0.2, 5, 40, dtype=np.float32)
    quantizer = LatticeQuantizer(bits=2, rotation="pca", random_state=0).fit(X)
    codec = add_coarse_layer(quantizer._codec, X)
    codes = QuantizedMatrix(codec, codec.encode(X))
    code = codec.row_code
    groups = code.spreads.reshape(-1, 4)
    expected = SCALE / 2 * np.sqrt((groups**2).mean(axis=1))
    np.testing.assert_allclose(code.sizes, expected, rtol=1e-6)
    alone = quantizer.compress(X).toarray()
    assert np.mean((codes.toarray() - X) ** 2) < 0.45 * np.mean((alone - X) ** 2)


@pytest.mark.parametrize("center", ["features", False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rotation": "pca"},
        {"bits": 0.5},
        {"lattice": "D4"},
        {"coding": "entropy"},
        {"coding": "hierarchical"},
    ],
)
def test_layered_rows_come_back_from_a_file(settings, center, tmp_path):
    X = gaussian(300, 24) + 0.5
    settings = {"bits": 3, "center": center, "random_state": 0} | settings
    quantizer = LatticeQuantizer(**settings).fit(X)
    codec = add_coarse_layer(quantizer._codec, X)
    codes = QuantizedMatrix(codec, codec.encode(X))
    assert np.mean((codes.toarray() - X) ** 2) < np.mean((quantizer.transform(X) - X) ** 2)
    codes.save(tmp_path / "codes")
    loaded = QuantizedMatrix.load(tmp_path / "codes")
    assert isinstance(loaded._codec.row_code, LayeredRowCode)
    np.testing.assert_array_equal(loaded.toarray(), codes.toarray())
    np.testing.assert_allclose(codes @ X[0], codes.toarray() @ X[0], rtol=1e-3, atol=1e-3)


def test_any_code_can_take_the_rest():
    X = gaussian(100, 32)
    code = LayeredRowCode(EntropyRowCode.choose("E8", 32, 12))
    U, energy = decoded(code.decode, encoded(code, X)[0], 32)
    np.testing.assert_allclose(energy, (U.astype(float) ** 2).sum(axis=1), rtol=1e-5)
    assert np.mean((X - U) ** 2) < 0.02
