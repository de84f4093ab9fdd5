"""What runs in the process of a library: its contestants are made, fitted and timed here."""

from importlib import import_module
from time import perf_counter, process_time

import numpy as np

_peers = []


def open_library(library, n_features, all_bits, n_threads):
    """Import a library: its version, and the name, bits and parameters of its contestants."""
    module = import_module(f"peers.{library}")
    _peers[:] = [p for bits in all_bits for p in module.contestants(n_features, bits, n_threads)]
    return module.version, [(p.name, p.bits, p.parameters) for p in _peers]


def fit(contestant, path):
    """Fit to the rows of a file: seconds, and the bytes that are held."""
    peer, rows = _peers[contestant], np.load(path)
    peer.warm_up(rows)
    _, seconds = clocked(peer.fit, rows)
    return seconds, float(peer.bytes_per_row), int(peer.codec_bytes)


def search(contestant, queries, k):
    """Find neighbours: indices, and seconds."""
    return clocked(_peers[contestant].kneighbors, queries, k)


def batch(contestant, queries, k):
    """Time all queries in one call."""
    return search(contestant, queries, k)[1]


def single(contestant, queries, k, limit):
    """Time queries one by one, until they have taken so many seconds of processor."""
    seconds = []
    for query in queries[:, None]:
        seconds.append(search(contestant, query, k)[1])
        limit -= seconds[-1][1]
        if limit < 0:
            break
    return seconds


def clocked(function, *arguments):
    """Call a function: its result, and the seconds that passed and that processors worked."""
    start, work = perf_counter(), process_time()
    result = function(*arguments)
    work, stop = process_time() - work, perf_counter()
    return result, (stop - start, work)
