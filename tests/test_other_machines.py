"""What the estimators find does not depend on the instructions that a machine has."""

import sys

import numpy as np
from machines import machines_with_integers, run_as

from skquant import LatticeQuantizer, QuantizedNearestNeighbors

N_ROWS, N_QUERIES, N_FEATURES = 1500, 80, 40
# Bytes, 16-bit integers and both; lists; few queries.
SEARCHES = {
    "bytes": {"bits": 3},
    "shorts": {"bits": 7},
    "pca": {"quantizer": LatticeQuantizer(bits=3, rotation="pca", random_state=0)},
    "lists": {"bits": 3, "n_lists": 5, "n_probe": 5},
    "lists with a coarse layer": {"bits": 2, "n_lists": 5, "n_probe": 5, "n_candidates": 200},
}


def compute():
    """Search, and multiply compressed matrices: arrays by name."""
    rng = np.random.default_rng(0)
    X, queries = (
        rng.standard_normal((n, N_FEATURES), dtype=np.float32) * np.linspace(2, 0.5, N_FEATURES)
        for n in (N_ROWS, N_QUERIES)
    )
    found = {}
    for name, parameters in SEARCHES.items():
        search = QuantizedNearestNeighbors(n_neighbors=10, random_state=0, **parameters).fit(X)
        distances, indices = search.kneighbors(queries)
        found |= {f"{name}, indices": indices, f"{name}, distances": distances}
    codes = LatticeQuantizer(bits=4, random_state=0).fit(X).compress(X)
    layers = LatticeQuantizer(bits=4, coding="hierarchical", random_state=0).fit(X).compress(X)
    found |= {"layers and vector": layers @ queries[0], "layers and few": layers @ queries[:3].T}
    found |= {"vector": codes @ queries[0], "matrix": codes @ queries.T, "codes": codes @ codes.T}
    return found


@machines_with_integers
def test_every_machine_finds_the_same(cpu, tmp_path):
    run_as(cpu, __file__, str(tmp_path / "found.npz"))
    here, there = compute(), np.load(tmp_path / "found.npz")
    assert set(here) == set(there.files)
    for name, values in here.items():
        if name.endswith("indices"):
            # Where products of bytes do not pay, those of finer integers or of floats are taken.
            same = [np.isin(*pair).mean() for pair in zip(values, there[name], strict=True)]
            assert np.mean(same) > 0.98, name
        else:
            np.testing.assert_allclose(
                there[name], values, atol=6e-3 * np.abs(values).max(), err_msg=name
            )


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute())
