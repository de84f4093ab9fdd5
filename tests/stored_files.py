"""The files of this version that later versions have to read.

    python tests/stored_files.py

makes a folder in `tests/data`, named after the version, with a file of each kind and
`expected.npz`, what they decode to. Run it once, when a version is released, and add the folder.
Those of released versions are never made anew: `tests/test_stored_files.py` reads them all.
"""

import sys
from pathlib import Path

import numpy as np

import skquant
from skquant import LatticeQuantizer, LowRankLowPrecisionCompressor, QuantizedNearestNeighbors
from skquant.lattices import Lattice

FOLDER = Path(__file__).parent / "data"


class Checkerboard(Lattice):
    """A lattice that is not the package's: pairs of integers of even sum."""

    generator = np.array([[1.0, 1.0], [1.0, -1.0]])

    def closest_point(self, x):
        """Round in the coordinates of the generator, whose rows are orthogonal."""
        return np.rint(x @ self.generator.T / 2) @ self.generator


COMPRESSORS = {
    "fixed": LatticeQuantizer(bits=4),
    "mixed": LatticeQuantizer(bits=2.3, lattice="D4", rotation="orthogonal", center="rows"),
    "few_bits": LatticeQuantizer(bits=0.5, lattice="A2", center=False),
    "byte_code": LatticeQuantizer(bits=1.2, rotation=None),
    "scalar": LatticeQuantizer(bits=3, lattice="Z"),
    "own_lattice": LatticeQuantizer(bits=3, lattice=Checkerboard()),
    "learned": LatticeQuantizer(bits=3, rotation="pca"),
    "entropy": LatticeQuantizer(bits=3, coding="entropy", lattice="Leech"),
    "trellis": LatticeQuantizer(bits=1, coding="entropy", lattice="Trellis"),
    "hierarchical": LatticeQuantizer(bits=2.5, coding="hierarchical", lattice="D4"),
    "low_rank": LowRankLowPrecisionCompressor(rank=5, bits=6),
    "low_rank_published": LowRankLowPrecisionCompressor(rank=5, bits=6, method="lplr"),
    "low_rank_entropy": LowRankLowPrecisionCompressor(rank=5, coding="entropy"),
    "low_rank_residual": LowRankLowPrecisionCompressor(rank=5, residual_bits=1),
    "low_rank_entropy_residual": LowRankLowPrecisionCompressor(
        rank=5, coding="entropy", residual_bits=1
    ),
}


def make_matrices():
    """Compress the same rows in every way that makes another kind of file.

    Returns
    -------
    dict of str to QuantizedMatrix or LowRankLowPrecisionMatrix
        Names of files and what goes into them.
    """
    rng = np.random.default_rng(0)
    rows = 1 + rng.standard_normal((30, 24)) * 0.9 ** np.arange(24)
    fitted = {name: c.set_params(random_state=0).fit(rows) for name, c in COMPRESSORS.items()}
    matrices = {f"{name}.skq": compressor.compress(rows) for name, compressor in fitted.items()}
    matrices |= {
        f"{name}.safetensors": compressor.compress(rows.astype(np.float32))
        for name, compressor in fitted.items()
        if isinstance(compressor, LatticeQuantizer)
    }
    for name in ("fixed", "trellis"):
        matrices[f"{name}_dithered.skq"] = fitted[name].compress(rows, dither_seed=1)
    search = QuantizedNearestNeighbors(n_candidates=10, random_state=0)
    matrices["coarse_layer.skq"] = search.fit(rows).codes_
    matrices["low_rank_selected.skq"] = matrices["low_rank.skq"][[7, 3, 3]]
    return matrices


def save(matrix, path):
    """Save in the format that the end of the name says."""
    (matrix.save_safetensors if path.suffix == ".safetensors" else matrix.save)(path)


def load(path):
    """Load a file of whatever kind, as its name says."""
    if path.name.startswith("low_rank"):
        return skquant.LowRankLowPrecisionMatrix.load(path)
    read = skquant.QuantizedMatrix.load
    if path.suffix == ".safetensors":
        read = skquant.QuantizedMatrix.load_safetensors
    return read(path, lattice=Checkerboard() if path.name.startswith("own_lattice") else None)


def main():
    """Write all files, and what they decode to."""
    folder = FOLDER / skquant.__version__
    if folder.exists():
        sys.exit(f"{folder} exists, and files of a version are written only once.")
    folder.mkdir(parents=True)
    matrices = make_matrices()
    for name, matrix in matrices.items():
        save(matrix, folder / name)
    expected = {name: matrix.toarray().astype(np.float32) for name, matrix in matrices.items()}
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
