"""Ctrl-C in the middle of a call leaves estimators as usable as before."""

import os
import signal
import threading

import numpy as np
import pytest

from skquant import QuantizedNearestNeighbors

X = np.random.default_rng(0).standard_normal((3000, 64)).astype(np.float32)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals")


def repeat_until_interrupted(call):
    """Call again and again, until a Ctrl-C comes from elsewhere."""
    done = threading.Event()

    def interrupt():
        # One alone may come where Python can but ignore it, as in a destructor.
        while not done.wait(0.5):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        try:
            while True:
                call()
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("n_lists", [None, 16])
def test_a_search_can_be_repeated(n_jobs, n_lists):
    search = QuantizedNearestNeighbors(n_lists=n_lists, n_jobs=n_jobs, random_state=0).fit(X)
    expected = search.kneighbors(X)
    repeat_until_interrupted(lambda: search.kneighbors(X))
    for found, known in zip(search.kneighbors(X), expected, strict=True):
        np.testing.assert_array_equal(found, known)


def test_an_interrupted_fit_can_be_repeated():
    search = QuantizedNearestNeighbors(random_state=0)
    expected = search.fit(X).kneighbors(X[:100])
    repeat_until_interrupted(lambda: search.fit(X))
    for found, known in zip(search.fit(X).kneighbors(X[:100]), expected, strict=True):
        np.testing.assert_array_equal(found, known)
