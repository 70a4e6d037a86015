"""Coded errors of model tuning."""

from tradingsite.common.errors import Unavailable, Unprocessable, ValidationFailed


class ModelLibraryMissing(Unavailable):
    code, title = "MODEL_LIBRARY_MISSING", "A library that this kind of model needs is not installed"


class ModelConfigInvalid(ValidationFailed):
    code, title = "MODEL_CONFIG_INVALID", "The model's configuration is not valid"


class ModelDataInsufficient(Unprocessable):
    code, title = "MODEL_DATA_INSUFFICIENT", "There are too few bars to learn from"


class ModelFileInvalid(Unavailable):
    code, title = "MODEL_FILE_INVALID", "A saved model cannot be read"
