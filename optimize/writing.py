"""Answers as JSON text: thousands of figures at once, which Python would write one by one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# What stands for a written part until it is put in. No text of an answer is this: the database refuses it in JSON.
_HOLD = "\x00"


@dataclass(frozen=True)
class Written:
    """A part of an answer that is JSON already."""

    text: str


def json_of(answer: Any) -> str:
    """Return an answer as JSON.

    Raises:
        ValueError: when it has a figure that is not finite, which is no JSON, outside of its `Written` parts.
    """
    parts: list[str] = []

    def held(part: object) -> str:
        if not isinstance(part, Written):
            raise TypeError(f"{type(part).__name__} is no JSON")
        parts.append(part.text)
        return _HOLD

    around = json.dumps(answer, allow_nan=False, default=held).split(json.dumps(_HOLD))
    if len(around) != len(parts) + 1:
        raise ValueError("an answer has a text that no database takes")
    return around[0] + "".join(part + after for part, after in zip(parts, around[1:], strict=True))


def figures(values: NDArray[Any]) -> list[str]:
    """Return each of a row of figures as JSON that reads back as the same number; what is not finite is null."""
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    # Both write the fewest digits that name the number, Arrow in a fifth of Python's time.
    texts: list[str] = pc.cast(pa.array(values), pa.string()).to_pylist()
    # Of whole numbers it leaves away that they are no integers.
    for place in np.flatnonzero(~np.isfinite(values) | (values == np.rint(values))).tolist():
        value = float(values[place])
        texts[place] = repr(value) if np.isfinite(value) else "null"
    return texts


def columns_of(table: Mapping[str, NDArray[Any]]) -> dict[str, list[str]]:
    """Return columns of one length as `figures` writes them, fractions of all columns at once: a call costs as much as fifty."""
    fractions = [name for name, values in table.items() if values.dtype.kind == "f"]
    rest = {name: figures(values) for name, values in table.items() if name not in fractions}
    if not fractions:
        return rest
    size = len(table[fractions[0]])
    texts = figures(np.concatenate([table[name] for name in fractions], dtype=np.float64))
    written = {name: texts[place * size : (place + 1) * size] for place, name in enumerate(fractions)} | rest
    return {name: written[name] for name in table}


def listed(texts: Sequence[str]) -> str:
    """Return values that are written as a list of them."""
    return f"[{', '.join(texts)}]"


def records(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return columns of written values, all of one length, as rows."""
    named = (f"{json.dumps(name)}: ".replace("%", "%%") + "%s" for name in columns)
    template = f"{{{', '.join(named)}}}"
    return [template % row for row in zip(*columns.values(), strict=True)]
