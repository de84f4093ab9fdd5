"""A codec as a dictionary and arrays, and back, every value checked.

What a file holds decides what the kernels read and write, so nothing of it is taken on trust: a
codec that comes back is one that `draw_codec` could have made.
"""

import numpy as np

from .._codes._codebook import ShortestPointCode
from .._codes._entropy import MAX_SPREAD, MIN_SPREAD, EntropyRowCode
from .._codes._hierarchical import MOST_LAYERS, HierarchicalCode, HierarchicalRowCode
from .._codes._layered import LayeredRowCode
from .._codes._nested import NestedLatticeCode, Repeated, count_scales, fill_block
from .._codes._row_code import RowCode, Segment
from .._codes._scales import MAX_BITS_PER_ENTRY
from .._codes._trellis import TRELLIS_CODES
from ..lattices import LATTICES, Z, get_lattice
from ._codec import Codec
from ._rotation import KINDS
from ._row_terms import MOST_COSINE_BITS, TermLayout

MOST_GROUPS = 2**7  # more than codes to choose from


def codec_to_file(codec):
    """Describe a codec by a dictionary of JSON types; `Codec.arrays` is the rest of it."""
    row_code = codec.row_code
    has_coarse_layer = isinstance(row_code, LayeredRowCode)
    if has_coarse_layer:
        row_code = row_code.rest
    if isinstance(row_code, EntropyRowCode):
        code = {
            "entropy_code": {
                "lattice": row_code.lattice,
                "n_coordinates": int(row_code.n_coordinates),
                "n_bytes": int(row_code.n_bytes),
                "spread": int(row_code.spread),
            }
        }
    elif isinstance(row_code, HierarchicalRowCode):
        code = {"segments": _segments_to_file(row_code.blocks), "stores_norm": True}
    else:
        code = {"segments": _segments_to_file(row_code)}
    if has_coarse_layer:
        code["coarse_layer"] = True
    return {
        "n_features": codec.n_features,
        "center": codec.terms.center,
        "mantissa": codec.terms.mantissa,
        "cosine_bits": codec.terms.cosine_bits,
        "gaussian_alignment": codec.terms.gaussian_alignment,
        "rotation": None if codec.rotation is None else codec.rotation.kind,
        "dither_seed": codec.dither_seed,
        **code,
    }


def _segments_to_file(row_code):
    return [
        {
            "lattice": _name(s.code.lattice.lattice),
            "generator": np.asarray(s.code.lattice.lattice.generator, float).tolist(),
            "copies": s.code.lattice.copies,
            "nesting_ratio": int(s.code.q),
            "n_scales": len(s.code.scales),
            "block_bits": int(s.code.n_bits),
            "distortion": float(s.code.distortion),
            "n_blocks": int(s.n_blocks),
            "spread": float(s.spread),
            **({"n_layers": s.code.n_layers} if isinstance(s.code, HierarchicalCode) else {}),
        }
        for s in row_code.segments
    ]


def codec_from_file(meta, arrays, row_bytes, lattice=None):
    """Rebuild a codec.

    Parameters
    ----------
    meta : dict
        As `codec_to_file` makes it.
    arrays : dict of ndarray
        As `Codec.arrays` has it.
    row_bytes : int
        Bytes of the rows that the codec is for.
    lattice : lattice object, default=None
        The user's own lattice, where the file was written with one.

    Returns
    -------
    Codec

    Raises
    ------
    ValueError
        If a value is missing, of the wrong type or impossible.
    """
    try:
        return _rebuild(meta, dict(arrays), row_bytes, lattice)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"the codec is incomplete or malformed ({error!r})") from error


def _rebuild(meta, arrays, row_bytes, lattice):
    n_features = _integer(meta, "n_features", 1, 2**31)
    center = _choice(meta, "center", ("features", "rows", False))
    terms = TermLayout(
        center,
        _integer(meta, "mantissa", 2, 23),
        _integer(meta, "cosine_bits", 0, MOST_COSINE_BITS),
        _real(meta, "gaussian_alignment"),
    )
    kind = _choice(meta, "rotation", (*KINDS, None))
    # Rows and kept coordinates prove n_features before anything of that size is made.
    if "entropy_code" in meta:
        row_code = _rebuild_entropy_code(meta["entropy_code"])
    else:
        learned = kind == "pca"
        row_code = _rebuild_row_code(meta["segments"], arrays["scales"], lattice, learned)
        if any(isinstance(s.code, HierarchicalCode) for s in row_code.segments):
            _choice(meta, "stores_norm", (True,))
            row_code = HierarchicalRowCode(row_code)
    if "coarse_layer" in meta:
        _choice(meta, "coarse_layer", (True,))
        row_code = LayeredRowCode(row_code)
    _require(row_code.n_bytes + terms.n_bytes == row_bytes, "row width")
    kept = None
    if row_code.n_coordinates != n_features and kind != "pca":
        _require(row_code.n_coordinates < n_features, "segments")
        kept = _array(arrays, "kept", np.int64, (row_code.n_coordinates,))
        ascending = kept[0] >= 0 and kept[-1] < n_features and (np.diff(kept) > 0).all()
        _require(bool(ascending), "kept")
    rotation = None
    if kind == "hadamard":
        signs = arrays["rotation"]
        _require(signs.ndim == 2 and 1 <= len(signs) <= 16, "rotation")
        signs = _array(arrays, "rotation", np.int8, (len(signs), n_features))
        _require(bool((np.abs(signs) == 1).all()), "rotation")
        rotation = KINDS[kind](signs)
    elif kind is not None:
        _require(row_code.n_coordinates <= n_features, "segments")
        shape = (n_features, row_code.n_coordinates)
        matrix = _array(arrays, "rotation", np.float32, shape)
        lengths = np.einsum("ij,ij->j", matrix, matrix, dtype=np.float64)
        _require(bool((np.abs(lengths - 1) < 1e-3).all()), "rotation")
        rotation = KINDS[kind](matrix)
    if center == "features":
        mean = _array(arrays, "mean", np.float64, (n_features,))
    else:
        mean = np.zeros(n_features)
    seed = meta["dither_seed"]
    if seed is not None:
        seed = _integer(meta, "dither_seed", 0, 2**32 - 1)
    return Codec(mean, rotation, kept, row_code, terms, seed)


def _rebuild_row_code(entries, scales, own_lattice, learned):
    """Rebuild the segments; those of a learned rotation are many, and their scales far apart."""
    most_segments, reach = (MOST_GROUPS, 1e5) if learned else (3, 1)
    _require(isinstance(entries, list) and 1 <= len(entries) <= most_segments, "segments")
    _require(scales.dtype == np.float64 and scales.ndim == 1, "scales")
    _require(bool((np.isfinite(scales) & (scales > 0)).all()), "scales")
    segments, first, bit, used = [], 0, 0, 0
    for entry in entries:
        lattice = _rebuild_lattice(entry, own_lattice)
        copies = _integer(entry, "copies", 1, 2**10)
        is_tail = lattice == LATTICES["Z"] and (learned or entry is entries[-1])
        _require(copies == fill_block(lattice).copies or is_tail, "copies")
        d = lattice.generator.shape[0] * copies
        n_bits = _integer(entry, "block_bits", 1, MAX_BITS_PER_ENTRY * d)
        q = _integer(entry, "nesting_ratio", 0, 2**MAX_BITS_PER_ENTRY)
        n_layers = _integer(entry, "n_layers", 1, MOST_LAYERS) if "n_layers" in entry else 0
        byte_code = q == 0 and bit % 8 == 0 and _has_shortest_point_code(lattice, n_bits)
        _require(q >= 2 or byte_code, "nesting_ratio")
        has_one_scale = n_layers > 0 or q == 0
        n_scales = _integer(
            entry, "n_scales", 1, 1 if has_one_scale else count_scales(d, q, n_bits)
        )
        n_blocks = _integer(entry, "n_blocks", 1, 2**31 // d)
        own = scales[used : used + n_scales]
        _require(len(own) == n_scales and bool((np.diff(own) > 0).all()), "scales")
        radius = own * lattice.covolume ** (1 / lattice.dimension)  # of a cell, about
        _require(bool(((radius > 1e-9 / reach) & (radius < 100 * reach)).all()), "scales")
        block, distortion = Repeated(lattice, copies), _real(entry, "distortion", reach**2)
        if n_layers:
            fits = q == 2 and d == 8 and n_bits == 8 * n_layers and bit % 8 == 0 and not learned
            _require(fits and lattice in LATTICES.values(), "n_layers")
            code = HierarchicalCode(block, own, n_layers, distortion)
        elif q == 0:
            code = ShortestPointCode(block, own, distortion)
        else:
            code = NestedLatticeCode(block, q, own, n_bits, distortion)
        spread = _real(entry, "spread", reach) if learned else 1.0
        segments.append(Segment(code, first, n_blocks, bit, spread))
        first, bit, used = first + n_blocks * d, bit + n_blocks * n_bits, used + n_scales
    _require(used == len(scales), "scales")
    return RowCode(tuple(segments))


def _rebuild_entropy_code(entry):
    n_coordinates = _integer(entry, "n_coordinates", 1, 2**31)
    return EntropyRowCode(
        _choice(entry, "lattice", TRELLIS_CODES),
        n_coordinates,
        _integer(entry, "n_bytes", 1, 2 * n_coordinates),
        _integer(entry, "spread", MIN_SPREAD, MAX_SPREAD),
    )


def _has_shortest_point_code(lattice, n_bits):
    return lattice == LATTICES["E8"] and n_bits == ShortestPointCode.n_bits


def _name(lattice):
    """Name of a lattice of the package; other lattices go by their generator."""
    return lattice.name if lattice in LATTICES.values() else "custom"


def _rebuild_lattice(entry, own_lattice):
    name = _choice(entry, "lattice", (*LATTICES, "custom"))
    if name != "custom":
        return LATTICES[name]
    if own_lattice is None:
        raise ValueError("it was written with a lattice of the user's own; pass it as lattice=")
    lattice = get_lattice(own_lattice)
    if isinstance(lattice, Z) or not np.array_equal(lattice.generator, entry["generator"]):
        raise ValueError(
            "the lattice passed has another generator than the one it was written with"
        )
    return lattice


def _require(condition, name):
    if not condition:
        raise ValueError(f"the codec's {name} is impossible")


def _integer(entry, name, least, most):
    value = entry[name]
    _require(type(value) is int and least <= value <= most, name)
    return value


def _real(entry, name, most=1):
    value = entry[name]
    _require(type(value) in (int, float) and 0 <= value <= most, name)
    return float(value)


def _choice(entry, name, choices):
    value = entry[name]
    _require(any(value is c or (type(value) is type(c) and value == c) for c in choices), name)
    return value


def _array(arrays, name, dtype, shape):
    array = arrays[name]
    _require(array.dtype == dtype and array.shape == shape, name)
    _require(dtype == np.int8 or bool(np.isfinite(array).all()), name)
    return np.ascontiguousarray(array)
