"""An earlier verdict by what the ledger knows now: what was tried since makes luck likelier, and nothing less likely."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optimize.honesty.sharpe import Moments, Trials, deflated_sharpe, trial_variance
from optimize.honesty.verdict import Evidence, Gate, Verdict, judge


def judge_again(
    verdict: Mapping[str, Any], deflated: Mapping[str, Any], *, trials: int, jobs: Sequence[Trials]
) -> Verdict:
    """Return the verdict on the same figures with more trials.

    Args:
        verdict, deflated: as `Verdict.as_dict` and `Deflated.as_dict` gave them.
        trials: distinct combinations of the ledger by now.
        jobs: what each search on this data showed, the judged one included.

    Raises:
        KeyError, TypeError: they were not made by those.
    """
    evidence, gate = Evidence.of(verdict["evidence"]), Gate(**verdict["gate"])
    figures = Moments(
        count=deflated["count"],
        mean=None,
        std=None,
        skew=deflated["skew"],
        kurtosis=deflated["kurtosis"],
        sharpe=deflated["sharpe"],
        t=None,
    )
    tried = max(trials, evidence.trials)
    # Searches whose trials are alike can make the variance of all smaller; that takes back nothing of what was seen.
    variance = max(trial_variance(jobs, figures.count) or 0.0, deflated["variance"])
    return judge(replace(evidence, dsr=deflated_sharpe(figures, tried, variance).dsr, trials=tried), gate)
