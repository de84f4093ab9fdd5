"""Rounds of the randomised Hadamard rotation, against a rotation from the Haar measure.

Pairs of rows of 1024 and of 784 entries are compressed on both sides at 2 bits with the same
rotation, many rotations in turn. D is the normalised squared error of a row. The law of rotated
rows is that a product err² on average, with G = 2 D - D² and D that of Gaussian rows,

    C² G² + (|a|² |b|² / n) (G - G²)        C the true product,

and "error / law" is what the products err, over that. 1 is right; below 1 the rotation leaves
structure that happens to help, above 1 the errors of the two sides are correlated. The mean of so
many draws is itself within some 3 %.

    python benchmarks/rotation_rounds.py
"""

from dataclasses import replace

import numpy as np
from report import Table, show
from threadpoolctl import threadpool_limits

from skquant import LatticeQuantizer
from skquant._codecs._rotation import HadamardRotation, OrthogonalRotation

BITS = 2


def spikes(rng, n, n_spikes):
    """Draw a row of few entries that are not zero, of one magnitude."""
    row = np.zeros(n)
    row[rng.choice(n, n_spikes, replace=False)] = rng.choice([-1.0, 1.0], n_spikes)
    return row


ROWS = {
    "one spike": lambda rng, n: spikes(rng, n, 1),
    "four spikes": lambda rng, n: spikes(rng, n, 4),
    "dense, of one magnitude": lambda rng, n: spikes(rng, n, n),
    "Gaussian": lambda rng, n: rng.standard_normal(n),
}


def draw(rounds, n, random_state):
    """Draw a rotation of some rounds; None stands for the Haar measure."""
    if rounds is None:
        return OrthogonalRotation.draw(n, random_state)
    return HadamardRotation(random_state.choice(np.array([-1, 1], np.int8), (rounds, n)))


def errors(codec, A, B):
    """Errors of the rows of A, and of their products with the rows of B, as shares of the law's."""
    decoded_A, decoded_B = (codec.decode(codec.encode(side), np.float64) for side in (A, B))
    square_A, square_B = ((side**2).sum(axis=1) for side in (A, B))
    distortion = ((A - decoded_A) ** 2).sum(axis=1) / square_A
    products = (A * B).sum(axis=1)
    gap = 1 - (1 - codec.row_code.distortion) ** 2  # G
    law = products**2 * gap**2 + square_A * square_B / A.shape[1] * (gap - gap**2)
    return distortion, ((decoded_A * decoded_B).sum(axis=1) - products) ** 2 / law


def run(n_rotations=60, n_pairs=40):
    """Measure rotations of one to three rounds and of the Haar measure."""
    results = []
    for n in (784, 1024):
        codec = LatticeQuantizer(BITS, center=False).fit(np.ones((1, n)))._codec
        rng, random_state = np.random.default_rng(0), np.random.RandomState(0)
        A, B = (np.stack([d(rng, n) for d in ROWS.values() for _ in range(n_pairs)]) for _ in "AB")
        means = []
        for rounds in (1, 2, 3, None):
            rotations = (draw(rounds, n, random_state) for _ in range(n_rotations))
            with threadpool_limits(1):
                measured = [errors(replace(codec, rotation=r), A, B) for r in rotations]
            means.append(np.mean(measured, axis=0).reshape(2, len(ROWS), n_pairs).mean(axis=2))
        for kind, distortion, share in zip(ROWS, *np.transpose(means, (1, 2, 0)), strict=True):
            results += [(n, kind, "D", *distortion), (n, kind, "error / law", *share)]
    columns = [("n", "d"), ("rows", ""), ("measured", "")]
    columns += [(name, ".3f") for name in ("1 round", "2 rounds", "3 rounds", "Haar")]
    return [Table("rotation_rounds", columns, results)]


if __name__ == "__main__":
    show(run())
