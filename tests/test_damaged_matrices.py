"""Files of compressed matrices that are damaged, or whose content is impossible."""

import tracemalloc

import numpy as np
import pytest
from quantized_matrices import compress, use_small_panels

from skquant import LatticeQuantizer, QuantizedMatrix, _file_format
from skquant.quantized_matrix import KIND


@pytest.fixture
def small_panels(monkeypatch):
    use_small_panels(monkeypatch)


# Damaged files


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.skq"
    compress(5, 3, np.float32, bits=1).save(path)
    return path


def test_a_file_cut_at_any_byte_is_refused(small_file):
    whole = small_file.read_bytes()
    for length in range(len(whole)):
        small_file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=small_file.name):
            QuantizedMatrix.load(small_file)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_flip_of_any_byte_is_noticed(small_file, mask):
    whole = small_file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= mask
        small_file.write_bytes(damaged)
        with pytest.raises(ValueError, match=small_file.name):
            QuantizedMatrix.load(small_file)


def test_a_damaged_row_of_a_mapped_matrix_is_noticed_when_it_is_used(tmp_path, small_panels):
    matrix, path = compress(150, 21), tmp_path / "x.skq"
    matrix.save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    loaded = QuantizedMatrix.load(path, mmap=True)
    np.testing.assert_array_equal(loaded[:10].toarray(), matrix[:10].toarray())
    for use in (loaded.toarray, lambda: loaded[[149]], lambda: loaded @ np.ones(21)):
        with pytest.raises(ValueError, match=r"x\.skq.*checksum"):
            use()


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "other.skq"
    _file_format.write(path, "SomethingElse", {}, {})
    with pytest.raises(ValueError, match=r"other\.skq.*'SomethingElse', not a 'QuantizedMatrix'"):
        QuantizedMatrix.load(path)
    np.save(tmp_path / "x.npy", np.ones(3))
    with pytest.raises(ValueError, match="not a skquant file"):
        QuantizedMatrix.load(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        QuantizedMatrix.load(tmp_path / "nothing.skq")


# Files with sound checksums whose content is impossible


REMOVED = object()


def rewrite(path, **changes):
    """Save a matrix, alter values under dotted keys such as codec__segments__0__copies."""
    meta, arrays = _file_format.read(path, KIND)
    everything = {"meta": meta, "arrays": dict(arrays)}
    for key, value in changes.items():
        *parents, last = (int(k) if k.isdecimal() else k for k in key.split("__"))
        holder = everything
        for parent in parents:
            holder = holder[parent]
        if value is REMOVED:
            del holder[last]
        else:
            holder[last] = value(holder[last]) if callable(value) else value
    _file_format.write(path, KIND, everything["meta"], everything["arrays"])


def with_entry(index, value):
    """Make a change that sets one entry of an array."""

    def change(array):
        array = array.copy()
        array.flat[index] = value
        return array

    return change


SEGMENT = "meta__codec__segments__0__"


@pytest.fixture
def rewritable(tmp_path):
    """Give a file with all that a file can have: two segments, a mean, signs, kept coordinates."""
    path = tmp_path / "x.skq"
    compress(5, 40, bits=0.5).save(path)
    meta, arrays = _file_format.read(path, KIND)
    assert arrays.keys() == {"rows", "scales", "mean", "rotation", "kept"}
    assert len(meta["codec"]["segments"]) == 2
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meta__codec", REMOVED),
        ("meta__codec", None),
        ("meta__codec", []),
        ("meta__codec", "codec"),
        ("meta__dtype", REMOVED),
        ("meta__dtype", "float16"),
        ("meta__dtype", ["float32"]),
        ("meta__codec__n_features", REMOVED),
        ("meta__codec__n_features", 0),
        ("meta__codec__n_features", -40),
        ("meta__codec__n_features", 41),
        ("meta__codec__n_features", 20),
        ("meta__codec__n_features", 19),
        ("meta__codec__n_features", 40.0),
        ("meta__codec__n_features", True),
        ("meta__codec__n_features", "40"),
        ("meta__codec__n_features", 2**31),
        ("meta__codec__n_features", 2**31 - 1),
        ("meta__codec__n_features", 10**30),
        ("meta__codec__center", REMOVED),
        ("meta__codec__center", True),
        ("meta__codec__center", 0),
        ("meta__codec__center", "columns"),
        ("meta__codec__center", []),
        ("meta__codec__mantissa", REMOVED),
        ("meta__codec__mantissa", -1),
        ("meta__codec__mantissa", 24),
        ("meta__codec__mantissa", 60),
        ("meta__codec__mantissa", 8.0),
        ("meta__codec__gaussian_alignment", -0.1),
        ("meta__codec__gaussian_alignment", 1.1),
        ("meta__codec__gaussian_alignment", "1"),
        ("meta__codec__rotation", REMOVED),
        ("meta__codec__rotation", "fourier"),
        ("meta__codec__rotation", False),
        ("meta__codec__rotation", "orthogonal"),
        ("meta__codec__segments", REMOVED),
        ("meta__codec__segments", []),
        ("meta__codec__segments", None),
        ("meta__codec__segments", {}),
        ("meta__codec__segments", [1, 2]),
        ("meta__codec__segments", lambda segments: segments[:1]),
        ("meta__codec__segments", lambda segments: 1000 * segments),
        (SEGMENT + "lattice", REMOVED),
        (SEGMENT + "lattice", "E9"),
        (SEGMENT + "lattice", "A2"),
        (SEGMENT + "lattice", "custom"),
        (SEGMENT + "lattice", ["E8"]),
        (SEGMENT + "copies", 0),
        (SEGMENT + "copies", 2),
        (SEGMENT + "copies", 8),
        (SEGMENT + "copies", -1),
        (SEGMENT + "nesting_ratio", REMOVED),
        (SEGMENT + "nesting_ratio", -14),
        (SEGMENT + "nesting_ratio", 1),
        (SEGMENT + "nesting_ratio", 16),
        (SEGMENT + "nesting_ratio", 2.0),
        (SEGMENT + "nesting_ratio", 10**30),
        (SEGMENT + "n_scales", 0),
        (SEGMENT + "n_scales", 2),
        (SEGMENT + "n_scales", -1),
        (SEGMENT + "n_scales", 10**9),
        (SEGMENT + "block_bits", 0),
        (SEGMENT + "block_bits", 7),
        (SEGMENT + "block_bits", 9),
        (SEGMENT + "block_bits", 129),
        (SEGMENT + "block_bits", 10**12),
        (SEGMENT + "distortion", -1.0),
        (SEGMENT + "distortion", None),
        (SEGMENT + "n_blocks", 0),
        (SEGMENT + "n_blocks", 1),
        (SEGMENT + "n_blocks", 3),
        (SEGMENT + "n_blocks", 10**9),
        (SEGMENT + "n_blocks", -2),
        ("arrays__rows", REMOVED),
        ("arrays__rows", lambda rows: rows[:, 1:]),
        ("arrays__rows", lambda rows: np.hstack([rows, rows])),
        ("arrays__rows", lambda rows: rows[0]),
        ("arrays__rows", lambda rows: rows.astype(np.int8)),
        ("arrays__scales", REMOVED),
        ("arrays__scales", lambda scales: scales[:-1]),
        ("arrays__scales", lambda scales: np.append(scales, 1.0)),
        ("arrays__scales", lambda scales: -scales),
        ("arrays__scales", lambda scales: 0 * scales),
        ("arrays__scales", lambda scales: scales.astype(np.float32)),
        ("arrays__scales", lambda scales: scales[:, None]),
        ("arrays__scales", with_entry(0, np.nan)),
        ("arrays__scales", with_entry(0, np.inf)),
        ("arrays__scales", with_entry(0, 1e300)),
        ("arrays__mean", REMOVED),
        ("arrays__mean", lambda mean: mean[1:]),
        ("arrays__mean", lambda mean: mean[None]),
        ("arrays__mean", lambda mean: mean.astype(np.float32)),
        ("arrays__mean", with_entry(3, np.nan)),
        ("arrays__mean", with_entry(3, -np.inf)),
        ("arrays__rotation", REMOVED),
        ("arrays__rotation", lambda signs: signs[:, 1:]),
        ("arrays__rotation", lambda signs: signs[:0]),
        ("arrays__rotation", lambda signs: signs[0]),
        ("arrays__rotation", lambda signs: signs.astype(np.int16)),
        ("arrays__rotation", with_entry(7, 0)),
        ("arrays__rotation", with_entry(7, 2)),
        ("arrays__rotation", with_entry(7, -128)),
        ("arrays__kept", REMOVED),
        ("arrays__kept", lambda kept: kept[:-1]),
        ("arrays__kept", lambda kept: np.append(kept, 39)),
        ("arrays__kept", lambda kept: kept[::-1]),
        ("arrays__kept", lambda kept: kept.astype(np.int32)),
        ("arrays__kept", with_entry(0, -1)),
        ("arrays__kept", with_entry(-1, 40)),
        ("arrays__kept", with_entry(-1, 2**62)),
        ("arrays__kept", lambda kept: np.repeat(kept[::2], 2)),
    ],
)
def test_impossible_content_is_refused(rewritable, key, value):
    rewrite(rewritable, **{key: value})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rewritable.name):
            QuantizedMatrix.load(rewritable)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6  # a length that lies does not make us allocate


@pytest.fixture
def learned_file(tmp_path):
    """Give a file with a learned rotation: groups of both kinds of codes, and lone coordinates."""
    path = tmp_path / "learned.skq"
    rows = np.random.default_rng(0).standard_normal((300, 43)) * 0.9 ** np.arange(43)
    quantizer = LatticeQuantizer(2, rotation="pca", random_state=0).fit(rows)
    quantizer.compress(rows[:5]).save(path)
    meta, arrays = _file_format.read(path, KIND)
    assert arrays.keys() == {"rows", "scales", "mean", "rotation"}
    ratios = [segment["nesting_ratio"] for segment in meta["codec"]["segments"]]
    assert 3 < len(ratios) and min(ratios) == 0
    assert arrays["rotation"].shape[1] < 43
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meta__codec__rotation", "orthogonal"),
        ("meta__codec__rotation", "hadamard"),
        ("meta__codec__rotation", None),
        ("meta__codec__n_features", 44),
        ("meta__codec__n_features", 8),
        ("meta__codec__segments", lambda segments: segments[1:]),
        ("meta__codec__segments", lambda segments: segments[::-1]),
        ("meta__codec__segments", lambda segments: 100 * segments),
        (SEGMENT + "nesting_ratio", 1),
        (SEGMENT + "block_bits", 9),
        (SEGMENT + "copies", 2),
        (SEGMENT + "n_blocks", 10**9),
        (SEGMENT + "distortion", -1.0),
        (SEGMENT + "distortion", 1e300),
        (SEGMENT + "spread", REMOVED),
        (SEGMENT + "spread", -1.0),
        (SEGMENT + "spread", 1e300),
        ("arrays__scales", lambda scales: 1e9 * scales),
        ("arrays__scales", lambda scales: 1e-20 * scales),
        ("arrays__scales", with_entry(-1, np.nan)),
        ("arrays__rotation", REMOVED),
        ("arrays__rotation", lambda matrix: matrix[1:]),
        ("arrays__rotation", lambda matrix: matrix[:, 1:]),
        ("arrays__rotation", lambda matrix: matrix.T),
        ("arrays__rotation", lambda matrix: matrix.astype(float)),
        ("arrays__rotation", lambda matrix: 2 * matrix),
        ("arrays__rotation", lambda matrix: 0 * matrix),
        ("arrays__rotation", with_entry(3, np.inf)),
        ("arrays__rotation", with_entry(3, 1e30)),
        ("arrays__rotation", with_entry(3, np.nan)),
    ],
)
def test_impossible_content_of_a_learned_codec_is_refused(learned_file, key, value):
    test_impossible_content_is_refused(learned_file, key, value)


def test_any_rows_of_a_learned_codec_decode_to_finite_numbers(learned_file):
    rewrite(learned_file)
    QuantizedMatrix.load(learned_file)
    test_any_rows_decode_to_finite_numbers(learned_file, 43)


def test_a_lattice_is_repeated_as_often_as_fills_a_block_and_not_more(rewritable):
    """The kernels know E8 in eight coordinates, though sixteen would fit the rest of the file."""
    doubled = {"copies": 2, "n_blocks": 1, "block_bits": 16, "nesting_ratio": 2}
    rewrite(rewritable, **{SEGMENT + name: value for name, value in doubled.items()})
    with pytest.raises(ValueError, match=rewritable.name):
        QuantizedMatrix.load(rewritable)


def test_a_rewritten_file_can_be_loaded(rewritable):
    """So that the files above are refused for what was altered."""
    expected = QuantizedMatrix.load(rewritable).toarray()
    rewrite(rewritable, meta__dtype="float32", meta__comment="unknown keys are ignored")
    loaded = QuantizedMatrix.load(rewritable).toarray()
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, expected, atol=1e-5)


def test_any_rows_decode_to_finite_numbers(rewritable, n_features=40):
    rewrite(
        rewritable,
        arrays__rows=lambda rows: np.tile(np.arange(256, dtype=np.uint8)[:, None], rows.shape[1]),
    )
    loaded = QuantizedMatrix.load(rewritable)
    assert np.isfinite(loaded.toarray()).all()
    assert np.isfinite(loaded @ np.ones(n_features)).all()
