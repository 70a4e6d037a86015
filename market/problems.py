"""What is wrong with a file, line by line, and what is merely worth knowing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tradingsite.common.errors import FieldError

SHOWN = 100


@dataclass(frozen=True)
class Problem:
    """One reason not to import: `line` counts from 1 as an editor does (rows, for Parquet); None is the whole file."""

    line: int | None
    column: str
    code: str
    detail: str

    @property
    def pointer(self) -> str:
        parts = ["file", *(["line", str(self.line)] if self.line is not None else []), self.column]
        return "/".join(part for part in parts if part)

    def field_error(self) -> FieldError:
        where = f"Line {self.line}: " if self.line is not None else ""
        return FieldError(self.pointer, self.code, f"{where}{self.detail}")

    def as_json(self) -> dict[str, Any]:
        return {"line": self.line, "column": self.column, "code": self.code, "detail": self.detail}


@dataclass
class Problems:
    """The first SHOWN problems, and how many there are in all: a file with a million bad lines stays readable."""

    shown: list[Problem] = field(default_factory=list)
    total: int = 0

    def add(self, line: int | None, column: str, code: str, detail: str) -> None:
        self.total += 1
        if len(self.shown) < SHOWN:
            self.shown.append(Problem(line, column, code, detail))

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem.line, problem.column, problem.code, problem.detail)

    def __bool__(self) -> bool:
        return self.total > 0

    def sorted(self) -> list[Problem]:
        return sorted(self.shown, key=lambda problem: (problem.line or 0, problem.column))
