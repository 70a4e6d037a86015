"""What every change asks first: under which name, and whether the name is free."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.errors import NameTaken
from workflows.models import Strategy, Workflow

Precondition = Callable[[Any], None]
MAX_NAME = 200


def clean_name(name: object, pointer: str = "name") -> str:
    """Return a name without surrounding space.

    Raises:
        ValidationFailed: for an empty or overlong name, or one with control characters.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not text or len(text) > MAX_NAME or not text.isprintable():
        detail = f"Must be 1 to {MAX_NAME} printable characters."
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", detail)])
    return text


def save_named(row: Workflow | Strategy, noun: str) -> None:
    """Save a row whose name is unique among the living; the constraint decides, not a look beforehand."""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        if "name" not in str(error):
            raise
        raise NameTaken(f"Another {noun} is named {row.name!r}; choose another name.") from error
