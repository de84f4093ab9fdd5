"""
Fashion-MNIST in a few bits per pixel
=====================================

Images of clothes, 784 pixels each: how much of a nearest-neighbour classifier is left when its
training rows take half a bit per pixel, or one, or four? The pixels are bytes in their files, but
scikit-learn searches floats, and they are what the codes replace. The files come from the Debian
package ``dataset-fashion-mnist``; where it is not installed, this page only says so.
"""

# %%
# 20 000 of the 60 000 training images and 2 000 of the test images keep this short.

import gzip
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from skquant import QuantizedKNeighborsClassifier

FOLDER = Path("/usr/share/datasets/fashion-mnist")
N_TRAIN, N_TEST = 20_000, 2_000


def load(part, n):
    """Read the first n images, as floats, and their labels."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as images:
        X = np.frombuffer(images.read(16 + 784 * n), np.uint8, offset=16).reshape(n, 784)
    with gzip.open(FOLDER / f"{part}-labels-idx1-ubyte.gz") as labels:
        y = np.frombuffer(labels.read(8 + n), np.uint8, offset=8)
    return X.astype(np.float32), y


def compare():
    """Give true bits, recall of the 10 nearest and accuracy for several bits, and for floats."""
    X_train, y_train = load("train", N_TRAIN)
    X_test, y_test = load("t10k", N_TEST)
    exact = KNeighborsClassifier(algorithm="brute").fit(X_train, y_train)
    nearest = exact.kneighbors(X_test, 10, return_distance=False)
    accuracy = exact.score(X_test, y_test)
    print(f"floats   accuracy {accuracy:.3f}   {X_train.nbytes / 1e6:5.1f} MB")
    curve = []
    for bits in (0.5, 1, 2, 3, 4, 8):
        knn = QuantizedKNeighborsClassifier(bits=bits, random_state=0).fit(X_train, y_train)
        found = knn.kneighbors(X_test, 10, return_distance=False)
        recall = np.mean([np.isin(*rows).mean() for rows in zip(found, nearest, strict=True)])
        curve.append((knn.codes_.bits_per_entry, recall, knn.score(X_test, y_test)))
        print(
            f"bits={bits:<3}  accuracy {curve[-1][2]:.3f}   {knn.codes_.nbytes / 1e6:5.1f} MB   "
            f"recall {recall:.3f}   true bits {curve[-1][0]:.2f}"
        )
    return np.array(curve).T, accuracy


if FOLDER.is_dir():
    (true_bits, recalls, accuracies), exact_accuracy = compare()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot(true_bits, recalls, "o-", label="recall of the 10 nearest")
    axes.plot(true_bits, accuracies, "s-", label="accuracy")
    axes.axhline(exact_accuracy, color="C1", ls="--", label="accuracy with floats, 32 bits")
    axes.set(xlabel="bits per pixel, everything included", ylim=(0.5, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
else:
    print(f"{FOLDER} is missing. On Debian and Ubuntu: apt install dataset-fashion-mnist")
plt.show()
