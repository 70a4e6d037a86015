"""Models that say how likely a rise is: features, labels, purged folds, tuning, and the form in which they are kept.

No Django here. The heavy libraries (xgboost, lightgbm, scikit-learn) are imported on use, never when this is imported,
and stand behind one thin interface in `optimize.learning.families`.
"""
