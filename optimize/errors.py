"""What can go wrong with a job of the optimiser, by code."""

from tradingsite.common.errors import (
    AppError,
    Conflict,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    ValidationFailed,
)


class OptimizationNotFound(NotFound):
    code, title = "OPTIMIZATION_NOT_FOUND", "There is no such optimisation"


class OptimizationFinished(Conflict):
    code, title = "OPTIMIZATION_FINISHED", "The optimisation has already ended"


class OptimizationUnfinished(Conflict):
    code, title = "OPTIMIZATION_UNFINISHED", "The optimisation has not come to a result yet"


class OptimizationWithoutResult(Conflict):
    code, title = "OPTIMIZATION_WITHOUT_RESULT", "The optimisation has left nothing to take"


class OptimizationNotApplicable(Conflict):
    code, title = "OPTIMIZATION_NOT_APPLICABLE", "Its parameters do not fit this strategy"


class PromotionRefused(PermissionDenied):
    code, title = "PROMOTION_REFUSED", "The verdict does not promote these parameters"


class OptimizerBusy(TooManyRequests):
    code, title = "OPTIMIZER_BUSY", "Too many optimisations wait already"


class StrategyWithoutSignal(AppError):
    code, status, title = "STRATEGY_WITHOUT_SIGNAL", 422, "The strategy has no signal step"


class ModelUnknown(NotFound):
    code, title = "MODEL_UNKNOWN", "There is no such model"


class ModelReferenceUnknown(ValidationFailed):
    code, title = "MODEL_UNKNOWN", "There is no such model"


class ModelTimeframeWrong(Conflict):
    code, title = "MODEL_TIMEFRAME_WRONG", "The model was trained on bars of another length"


class ModelInSample(Conflict):
    code, title = "MODEL_IN_SAMPLE", "The model was trained on these bars"


class OptimizationFailed(AppError):
    """What a kind raises in a worker to end its job as failed, under the code it gives."""

    code, status, title = "OPTIMIZATION_FAILED", 422, "The optimisation cannot be carried out"


class WorkStopped(Exception):
    """The worker must stop here: somebody cancelled, another worker has the chunk, or the process is about to end."""


class JobCancelled(WorkStopped):
    """Somebody cancelled the job."""


class LeaseLost(WorkStopped):
    """Another worker holds the chunk by now; whatever this one still wants to write is refused."""


class HandOver(WorkStopped):
    """The process is about to end; another worker goes on."""


# Codes of failures that no exception of ours carries.
ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
WORK_CRASHED = "WORK_CRASHED"
KIND_MISSING = "KIND_MISSING"
