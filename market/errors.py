"""Coded errors of the market floor."""

from tradingsite.common.errors import Conflict, NotFound, Unavailable, ValidationFailed


class InstrumentUnknown(NotFound):
    code, title = "INSTRUMENT_UNKNOWN", "The desk does not know this instrument"


class SourceUnknown(NotFound):
    code, title = "SOURCE_UNKNOWN", "The desk does not know this data source"


class SeriesUnknown(NotFound):
    code, title = "SERIES_UNKNOWN", "There are no bars of this kind for this instrument"


class SeriesEmpty(NotFound):
    code, title = "SERIES_EMPTY", "The series has no bars in this range"


class SeriesFileMissing(Unavailable):
    code, title = "SERIES_FILE_MISSING", "The file of a bar series cannot be read"


class CalendarUnknown(ValidationFailed):
    code, title = "CALENDAR_UNKNOWN", "There is no such exchange calendar"


class IndicatorUnknown(ValidationFailed):
    code, title = "INDICATOR_UNKNOWN", "There is no such indicator"


class IndicatorParamsInvalid(ValidationFailed):
    code, title = "INDICATOR_PARAMS_INVALID", "The indicator's parameters are not valid"


class ImportRejected(ValidationFailed):
    code, title = "IMPORT_REJECTED", "The file was not imported"


class InstrumentExists(Conflict):
    code, title = "INSTRUMENT_EXISTS", "The instrument exists already"


class MissingExtra(Unavailable):
    code, title = "MISSING_EXTRA", "An optional part of the desk is not installed"


class VendorFailed(Unavailable):
    code, title = "VENDOR_FAILED", "The data vendor gave no usable answer"
