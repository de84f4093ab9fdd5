"""Progress of long calls, told to the callbacks that scikit-learn's estimators take since 1.9.

An estimator says what it is doing (`reported`); loops inside, which know nothing of estimators, say
when a step of theirs is done (`steps`). Where nobody has set a callback, nothing is told.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_running = ContextVar("running", default=None)


@dataclass
class _Report:
    """An estimator, the context of its task, and whether a loop of it is being told of."""

    estimator: object
    context: object
    in_loop: bool = False


@contextmanager
def reported(estimator, task_name, X=None, y=None):
    """Tell the callbacks of an estimator that a task of it runs inside.

    The callbacks are taken down by the method that it runs in: by `fit_context`, or else by
    `with_callbacks`. What an estimator without callbacks does is told to those of the estimator
    that uses it.

    Parameters
    ----------
    estimator : Estimator
    task_name : str
        The name of the method.
    X, y : array-like or None, default=None
        What the method was given.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        yield
        return
    context = estimator._init_callback_context(task_name=task_name, max_subtasks=None)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    token = _running.set(_Report(estimator, context))
    try:
        yield
    finally:
        _running.reset(token)
    is_fitted = {} if task_name == "fit" else None  # what "fitted_estimator" is made of
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y, reconstruction_attributes=is_fitted)


def steps(name, items, total=None):
    """Give items one by one, and tell when each has been dealt with.

    Loops inside of such a loop are not told of.

    Parameters
    ----------
    name : str
        What is done with them.
    items : iterable
        They may be made when asked for: this counts as dealing with them.
    total : int, default=None
        How many there are; None takes ``len(items)``.

    Yields
    ------
    object
        The items.
    """
    report = _running.get()
    if report is None or report.in_loop:
        yield from items
        return
    total = len(items) if total is None else total
    task = report.context.subcontext(task_name=name, max_subtasks=total)
    items, report.in_loop = iter(items), True
    try:
        with _told(report, task):
            for _ in range(total):
                with _told(report, task.subcontext(task_name=name)):
                    yield next(items)
    finally:
        report.in_loop = False


@contextmanager
def _told(report, context):
    """Tell when a task begins, and when it ends, be it before all of its steps are done."""
    context.call_on_fit_task_begin(estimator=report.estimator)
    try:
        yield
    finally:
        if _running.get() is report:  # which an error may have ended, and kept the loop
            context.call_on_fit_task_end(estimator=report.estimator)
