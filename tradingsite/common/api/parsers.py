"""Reading JSON bodies: strictly, and never with a 500."""

import json
import math
import re
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from tradingsite.common.errors import FieldError, ValidationFailed

MAX_DEPTH = 32


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _integer(text: str) -> int:
    # Far beyond every column; longer ones only cost time.
    if len(text) > 40:
        raise ValueError("an integer has too many digits")
    return int(text)


_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")


def _check(value: Any, path: tuple[str, ...] = ()) -> None:
    if len(path) > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        for key, inner in value.items():
            if _BAD_TEXT.search(key):
                raise _bad_text(path, "A member's name")
            _check(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check(inner, (*path, str(index)))
    elif isinstance(value, str) and _BAD_TEXT.search(value):
        raise _bad_text(path, "Text")


def _bad_text(path: tuple[str, ...], what: str) -> ValidationFailed:
    detail = f"{what} may not hold NUL characters or lone surrogates."
    return ValidationFailed(errors=[FieldError("/".join(path), "invalid_text", detail)])


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the member {name[:60]!r} is named twice")
        result[name] = value
    return result


class StrictJSONParser(JSONParser):
    """JSON as RFC 8259 has it: no NaN, no duplicate members, bounded depth, valid UTF-8 without NUL."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        # DRF reads the stream itself, past the limit that Django keeps for `request.body`.
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RequestDataTooBig
        try:
            text = raw.decode("utf-8")
            value = json.loads(
                text,
                parse_constant=_refuse_constant,
                parse_float=_finite,
                parse_int=_integer,
                object_pairs_hook=_no_repeats,
            )
            _check(value)
        except RecursionError:
            raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8 text: byte {error.start} is wrong.") from None
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {str(error).rstrip('.')}.") from None
        return value
