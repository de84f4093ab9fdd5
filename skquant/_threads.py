"""Run blocks of work in threads. The kernels release the interpreter's lock."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

from ._progress import steps


@lru_cache
def _controller():
    """Look the thread pools up once; it takes milliseconds."""
    return ThreadpoolController()


def thread_count(n_jobs):
    """Resolve n_jobs; None means 1 unless a `joblib.parallel_config` says otherwise."""
    return effective_n_jobs(n_jobs)


def run_in_threads(function, tasks, n_jobs, name="blocks"):
    """Call a function with each task, and give the results in order.

    Parameters
    ----------
    function : callable
        Called with one task at a time; it must not depend on the order.
    tasks : list
    n_jobs : int or None
        Threads, as `thread_count` resolves them.
    name : str, default="blocks"
        What callbacks that show progress call the work.

    Returns
    -------
    list
    """
    tasks = list(tasks)
    n_threads = min(thread_count(n_jobs), len(tasks)) if len(tasks) > 1 else 1
    if n_threads <= 1:
        return list(steps(name, map(function, tasks), len(tasks)))
    threads = ThreadPoolExecutor(n_threads)  # joblib's look for results a hundred times a second
    try:
        return list(steps(name, threads.map(function, tasks), len(tasks)))
    finally:
        threads.shutdown(cancel_futures=True)


def run_on_shares(function, n, n_jobs):
    """Call a function with each of n numbers, a share of them in each thread: for short tasks."""
    n_shares = min(thread_count(n_jobs), n)

    def run_share(first):
        for i in range(first, n, n_shares):
            function(i)

    run_in_threads(run_share, range(n_shares), n_jobs)


def single_threaded_blas():
    """Give a context in which matrix products take one thread, since the tasks are parallel."""
    return _controller().limit(limits=1, user_api="blas")
