"""Models as strategies and steps use them: found by id, read from the store, and asked about bars."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from market.bars import Bars, FloatArray
from optimize.errors import ModelInSample, ModelReferenceUnknown, ModelTimeframeWrong, ModelUnknown
from optimize.modelling import files
from optimize.models import TunedModel
from optimize.selectors import model_get
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError


@dataclass(frozen=True)
class Forecast:
    """What a model says of a history: float64 probabilities per bar, NaN where it says nothing."""

    probability: FloatArray
    trained_until: datetime


def model_named(reference: str, pointer: str = "params/model") -> TunedModel:
    """Return the model with this id.

    Raises:
        ModelReferenceUnknown: naming `pointer`.
    """
    try:
        return model_get(UUID(reference))
    except (ValueError, ModelUnknown):
        detail = f"{reference!r} is no id of a tuned model; GET /api/models lists them."
        raise ModelReferenceUnknown(errors=[FieldError(pointer, "unknown_model", detail)]) from None


def forecast(reference: str, bars: Bars) -> Forecast:
    """Return what a model says of these bars; nothing (NaN) of those that its training looked at.

    Raises:
        ModelReferenceUnknown: there is no such model.
        ModelTimeframeWrong: it learnt from bars of another length.
        ModelFileInvalid: its file is missing or damaged.
    """
    row = model_named(reference)
    learnt = row.description["timeframe"]
    if bars.timeframe != learnt:
        raise ModelTimeframeWrong(
            f"The model {row.name!r} was trained on {learnt} bars and says nothing of {bars.timeframe} ones. "
            f"Use {learnt} bars, or tune a model on {bars.timeframe} ones."
        )
    return Forecast(files.read(row.digest).probabilities(bars), row.trained_until)


def in_sample(reference: str, first: datetime) -> str:
    """Say why bars that open from `first` on are no evidence for a model; empty where they are.

    Raises:
        ModelReferenceUnknown: there is no such model.
    """
    row = model_named(reference)
    if first > row.trained_until:
        return ""
    return (
        f"The model {row.name!r} was trained on bars up to {rfc3339(row.trained_until)} and knows them by heart. Begin "
        "later than that, or tune a model on an earlier period."
    )


def last_forecast(reference: str, bars: Bars) -> tuple[float | None, float | None]:
    """Return the forecasts of the newest bar and of the one before it; None where there is none.

    Raises:
        ModelInSample: the training has looked at the newest bar.
        ModelReferenceUnknown, ModelTimeframeWrong, ModelFileInvalid: as `forecast`.
    """
    refused = in_sample(reference, bars.opened_at(len(bars) - 1))
    if refused:
        raise ModelInSample(refused)
    values = forecast(reference, bars).probability[-2:]
    known = [float(value) if np.isfinite(value) else None for value in values]
    return known[-1], known[-2] if len(known) == 2 else None
