"""Displays in scikit-learn's style. Matplotlib is imported when something is drawn."""

from ._rate_distortion import RateDistortionDisplay
from ._recall import RecallDisplay

__all__ = ["RateDistortionDisplay", "RecallDisplay"]
