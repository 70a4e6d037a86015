"""In which state a market is: how much it moves, whether it has a direction, and what a hidden Markov model sees in it.

Everything is computed from the past alone: what is said of a bar changes with no bar that comes after it. No Django here.
"""

from market.regimes.detectors import DETECTORS, Detector, Hidden, Trend, Volatility, detect, detect_on, detector_clean
from market.regimes.words import UNKNOWN, Change, Regimes, Told

__all__ = [
    "DETECTORS",
    "UNKNOWN",
    "Change",
    "Detector",
    "Hidden",
    "Regimes",
    "Told",
    "Trend",
    "Volatility",
    "detect",
    "detect_on",
    "detector_clean",
]
