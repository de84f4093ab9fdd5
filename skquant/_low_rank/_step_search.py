"""The least step whose bits are within a budget, in few trials."""

from dataclasses import dataclass
from typing import Any

from .._progress import steps

SLACK = 0.003  # the share of a budget that may be left
_MAX_TRIALS = 14
_UNEVEN = 64  # bits by which the code of tiny matrices jumps
# Octaves of the step
_FINEST = 1e-4
_MAX_JUMP = 4.0


@dataclass(frozen=True)
class Trial:
    """A step, in log2, what was made with it, and the bits that this takes."""

    log_step: float
    made: Any
    bits: float


class StepSearch:
    """Trials of steps, remembered from one budget to the next.

    Parameters
    ----------
    at : callable
        Takes a step; gives what is made with it, and its bits.
    guess : callable
        Takes bits; gives a first step, in log2.
    entries : callable
        Takes what was made; gives how many numbers a finer step makes longer.
    finest, coarsest : float
        Between which steps are, in log2.
    """

    def __init__(self, at, guess, entries, finest, coarsest):
        self._at = at
        self._guess = guess
        self._entries = entries
        self._finest = finest
        self._coarsest = coarsest
        self._trials = []

    def within(self, budget, slack=SLACK):
        """Find the trial that spends a budget but for some slack.

        Parameters
        ----------
        budget : float
            Bits.
        slack : float, default=SLACK
            Share of the budget that may be left.

        Returns
        -------
        Trial

        Raises
        ------
        ValueError
            If the budget does not pay for the coarsest step.
        """
        enough = min((1 - slack) * budget, budget - _UNEVEN)
        for _ in steps("step sizes", range(_MAX_TRIALS)):
            best = self._best(budget)
            low = max((t.log_step for t in self._trials if t.bits > budget), default=self._finest)
            high = self._coarsest if best is None else best.log_step
            if high - low < _FINEST or (best is not None and best.bits >= enough):
                break
            log_step = self._next(budget, (1 - 0.4 * slack) * budget, low, high)
            self._trials.append(Trial(log_step, *self._at(2.0**log_step)))
        best = self._best(budget)
        if best is None:
            least = min(trial.bits for trial in self._trials)
            raise ValueError(
                f"The budget of {budget:.0f} bits does not pay for one component, which takes "
                f"{least:.0f} bits."
            )
        return best

    def _best(self, budget):
        """Give the finest trial that a budget pays for, or None."""
        paid = [trial for trial in self._trials if trial.bits <= budget]
        return max(paid, key=lambda trial: (trial.bits, -trial.log_step), default=None)

    def _next(self, budget, target, low, high):
        """Choose a step between two, the higher of which is paid for if it is not the coarsest."""
        paid = high < self._coarsest
        if not self._trials:
            log_step = self._guess(target)
        elif self._stuck(budget):
            log_step = 0.5 * (low + high) if paid else self._coarsest
        else:
            log_step = self._extrapolate(target)
        margin = 0.02 * (high - low)
        return min(max(log_step, low + margin), high - margin if paid else high)

    def _stuck(self, budget):
        """Tell whether three trials in a row were over a budget, or within it."""
        sides = [trial.bits > budget for trial in self._trials[-3:]]
        return len(sides) == 3 and len(set(sides)) == 1

    def _extrapolate(self, target):
        """Guess from one bit a number for one octave, or from what the two nearest trials tell."""
        near, *others = sorted(self._trials, key=lambda trial: abs(trial.bits - target))
        slope = self._entries(near.made)
        for other in others[:1]:
            change = near.log_step - other.log_step
            if change and (other.bits - near.bits) / change > 0.1 * slope:
                slope = (other.bits - near.bits) / change
        return near.log_step + min(max((near.bits - target) / slope, -_MAX_JUMP), _MAX_JUMP)
