"""Progress that scikit-learn's callbacks are told of, where it has them."""

import numpy as np
import pytest
from sklearn.base import clone

from skquant import (
    LatticeQuantizer,
    LowRankLowPrecisionCompressor,
    QuantizedKNeighborsClassifier,
    QuantizedKNeighborsRegressor,
    QuantizedKNeighborsTransformer,
    QuantizedNearestNeighbors,
)
from skquant._progress import reported, steps
from skquant._threads import run_in_threads

X = np.random.default_rng(0).standard_normal((200, 16))
y = np.arange(200) % 3
NEIGHBORS = [
    QuantizedKNeighborsClassifier(),
    QuantizedKNeighborsRegressor(rescore=2),
    QuantizedKNeighborsTransformer(),
    QuantizedNearestNeighbors(metric="cosine"),
]
ESTIMATORS = [
    LatticeQuantizer(rotation="pca"),
    LatticeQuantizer(coding="entropy", n_jobs=2),
    LowRankLowPrecisionCompressor(bit_budget=2),
    LowRankLowPrecisionCompressor(rank=3, method="lplr", residual_bits=1),
    *NEIGHBORS,
]


class Recorder:
    """Keep what is told: the names of tasks from the root on, and how many steps they have."""

    def __init__(self):
        self.told = []

    def setup(self, estimator, context):
        self.told.append(("setup", (), None))

    def teardown(self, estimator, context):
        self.told.append(("teardown", (), None))

    def on_fit_task_begin(self, estimator, context):
        self.told.append(("begin", self.path(context), context.max_subtasks))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.told.append(("end", self.path(context), context.max_subtasks))
        if fitted_estimator is not None:
            self.fitted = fitted_estimator

    @staticmethod
    def path(context):
        own = (context.task_name, context.task_id)
        return own if context.parent is None else (*Recorder.path(context.parent), *own)


def recorded(estimator):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    return clone(estimator).set_params(random_state=0).set_callbacks(recorder), recorder


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_each_task_of_a_fit_begins_and_ends_within_its_parent(estimator):
    watched, recorder = recorded(estimator)
    watched.fit(X, y)
    told = recorder.told
    assert [told[0][0], told[1][:2], told[-2][:2], told[-1][0]] == [
        "setup",
        ("begin", ("fit", 0)),
        ("end", ("fit", 0)),
        "teardown",
    ]
    open_tasks = []
    for event, path, _ in told[1:-1]:
        if event == "begin":
            assert path[:-2] == (open_tasks[-1] if open_tasks else ())
            open_tasks.append(path)
        else:
            assert open_tasks.pop() == path
    assert open_tasks == []
    assert any(len(path) == 6 for _, path, _ in told)  # a step of a loop


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_callbacks_change_nothing(estimator):
    watched, recorder = recorded(estimator)
    plain = clone(estimator).set_params(random_state=0).fit(X, y)
    watched.fit(X, y)
    for name in ("transform", "compress", "predict", "kneighbors"):
        if hasattr(plain, name):
            results = [getattr(each, name)(X) for each in (plain, watched)]
            for left, right in zip(*map(as_arrays, results), strict=True):
                np.testing.assert_array_equal(left, right)
    assert set(vars(watched)) - set(vars(plain)) == {"_skl_callbacks"}


def as_arrays(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [part.toarray() if hasattr(part, "toarray") else part for part in parts]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_every_block_of_a_compression_is_told(n_jobs):
    rows = np.random.default_rng(1).standard_normal((40_000, 16), dtype=np.float32)
    watched, recorder = recorded(LatticeQuantizer(bits=1, n_jobs=n_jobs))
    watched.fit(rows[:100])
    recorder.told.clear()
    watched.compress(rows)
    n_blocks = len(list(watched._codec.blocks(len(rows))))
    assert n_blocks > 1
    assert ("begin", ("compress", 0, "quantize", 0), n_blocks) in recorder.told
    ends = [path for event, path, _ in recorder.told if event == "end" and len(path) == 6]
    assert [path[-1] for path in ends] == list(range(n_blocks))
    assert recorder.told[-1][0] == "teardown"


@pytest.mark.parametrize("estimator", NEIGHBORS, ids=repr)
def test_rows_that_are_added_are_told(estimator):
    watched, recorder = recorded(estimator)
    watched.fit(X, y)
    recorder.told.clear()
    watched.partial_fit(X[:10], y[:10])
    assert ("begin", ("partial_fit", 0), None) in recorder.told
    assert recorder.told[-1][0] == "teardown"


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_callbacks_get_a_fitted_estimator_when_a_fit_ends(estimator):
    watched, recorder = recorded(estimator)
    watched.fit(X, y)
    for name in ("transform", "kneighbors"):
        if hasattr(recorder.fitted, name):
            getattr(recorder.fitted, name)(X)


@pytest.mark.parametrize("method", ["fit", "compress"])
def test_callbacks_are_taken_down_after_an_error(method):
    watched, recorder = recorded(LatticeQuantizer())
    watched.fit(X)
    recorder.told.clear()
    too_long = np.full((3, 16), 1e200)
    with pytest.raises(ValueError):
        getattr(watched, method)(too_long)
    assert recorder.told[1][:2] == ("begin", (method, 0))
    assert recorder.told[-1][0] == "teardown"
    assert [event for event, _, _ in recorder.told].count("teardown") == 1
    recorder.told.clear()
    assert list(steps("silent", [1, 2])) == [1, 2]
    assert recorder.told == []  # nobody is listening any more


def test_an_error_in_a_loop_leaves_nothing_to_tell_later():
    watched, recorder = recorded(LatticeQuantizer(bits=1))

    def fail():
        for _ in steps("work", [1, 2]):
            raise ArithmeticError

    with pytest.raises(ArithmeticError) as error, reported(watched, "fit"):
        fail()
    told = list(recorder.told)
    del error  # and with it the loop
    assert recorder.told == told
    assert [(event, path[2:]) for event, path, _ in told[2:]] == [
        ("begin", ("work", 0)),
        ("begin", ("work", 0, "work", 0)),
        ("end", ("work", 0, "work", 0)),
        ("end", ("work", 0)),
    ]


def test_a_loop_that_is_left_early_ends():
    watched, recorder = recorded(LowRankLowPrecisionCompressor(rank=2))
    watched.fit(X)
    searched = [(e, p) for e, p, _ in recorder.told if p[2:3] == ("step sizes",)]
    loops = [event for event, path in searched if len(path) == 4]
    assert loops.count("begin") == loops.count("end") > 0


def test_progress_bars(capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    search = QuantizedNearestNeighbors(random_state=0).set_callbacks(callback.ProgressBar())
    search.fit(X)
    printed = capsys.readouterr().out
    assert "QuantizedNearestNeighbors - fit" in printed
    assert "quantize" in printed


def test_callbacks_of_a_pipeline_are_told_of_its_steps():
    from sklearn.pipeline import make_pipeline

    callback = pytest.importorskip("sklearn.callback")

    class Propagated(Recorder):
        max_propagation_depth = None

    assert isinstance(Propagated(), callback.AutoPropagatedCallback)
    recorder = Propagated()
    pipe = make_pipeline(LatticeQuantizer(2), QuantizedKNeighborsClassifier())
    pipe.set_callbacks(recorder).fit(X, y)
    names = {name for _, path, _ in recorder.told for name in path[::2]}
    assert {"mean", "quantize"} <= names


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_nothing_is_printed_without_callbacks(estimator, capsys):
    clone(estimator).fit(X, y)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_of_threads_come_in_order(n_jobs):
    assert run_in_threads(lambda i: i**2, range(7), n_jobs) == [i**2 for i in range(7)]
