"""Conditions that people write: comparisons of named figures, read by a parser of our own and never run as Python.

    price > 100 and change_percent < -2
    abs(close - open) / open >= 0.03 or volume > 2 * volume_average

Grammar, loosest first: `or`, `and`, `not`, one comparison (`< <= > >= == !=`), `+ -`, `* /`, unary minus, and numbers,
names, brackets and the functions `abs(x)`, `min(x, y, …)`, `max(x, y, …)`. Figures are exact decimals of 34 digits.

The cost is bounded before anything is computed: the text by MOST_CHARACTERS, its parts by MOST_TOKENS, its nesting by
DEEPEST. There are no loops, powers, attributes, indexes, texts or calls of anything else, so an expression costs one
operation a part at most. No Django here.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import lru_cache

MOST_CHARACTERS = 500
MOST_TOKENS = 200
DEEPEST = 20
MOST_DIGITS = 30

# What would be NaN or infinite is an error instead: no comparison with it could be trusted.
_CONTEXT = Context(prec=34, Emax=999, Emin=-999, traps=[InvalidOperation, DivisionByZero, Overflow])
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[a-z][a-z0-9_]*)|(?P<sign><=|>=|==|!=|[-+*/<>(),]))",
    re.ASCII,
)
_WORDS = frozenset({"and", "or", "not"})
_COMPARISONS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_ARITHMETIC: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": _CONTEXT.add,
    "-": _CONTEXT.subtract,
    "*": _CONTEXT.multiply,
    "/": _CONTEXT.divide,
}
_FUNCTIONS = {"abs": (1, 1), "min": (2, 10), "max": (2, 10)}

Figures = Mapping[str, Decimal]
_Number = Callable[[Figures], Decimal]
_Truth = Callable[[Figures], bool]


class ExpressionInvalid(ValueError):
    """The text is no expression; the message says where and what is wrong."""


class NotComputable(ArithmeticError):
    """The figures of this moment have no answer, such as a division by zero."""


@dataclass(frozen=True)
class Expression:
    """A condition that has been read: which figures it names, and the answer for given ones."""

    text: str
    names: frozenset[str]
    _truth: _Truth

    def holds(self, figures: Figures) -> bool:
        """Say whether the condition holds.

        Args:
            figures: one finite Decimal for each of `names`, at least.

        Raises:
            KeyError: a figure that it names is not given.
            NotComputable: a division by zero, or a number beyond 1e999.
        """
        try:
            return self._truth(figures)
        except (InvalidOperation, DivisionByZero) as error:
            raise NotComputable("It divides by zero now.") from error
        except Overflow as error:
            raise NotComputable("A number in it is too large to compute with.") from error


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str, *, known: Collection[str]) -> Expression:
    """Read a condition.

    Args:
        known: the names of figures that it may use.

    Raises:
        ExpressionInvalid: with what is wrong, and at which character (from 1).
    """
    return _parse(text, frozenset(known))


@lru_cache(maxsize=20_000)
def _parse(text: str, known: frozenset[str]) -> Expression:
    if len(text) > MOST_CHARACTERS:
        raise ExpressionInvalid(f"It may have {MOST_CHARACTERS} characters; it has {len(text)}.")
    reader = _Reader(_tokens(text), known)
    truth = reader.whole()
    return Expression(text, frozenset(reader.names), truth)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    stop = len(text.rstrip(" \t\r\n"))
    while position < stop:
        match = _TOKEN.match(text, position)
        if match is None:
            at = position + len(text[position:]) - len(text[position:].lstrip(" \t\r\n"))
            raise ExpressionInvalid(f"Character {at + 1}, {text[at]!r}, has no meaning here.")
        kind = match.lastgroup or ""
        found = match[kind]
        if kind == "number" and len(found) > MOST_DIGITS:
            raise ExpressionInvalid(f"The number at character {match.start(kind) + 1} has over {MOST_DIGITS} digits.")
        tokens.append(_Token("word" if found in _WORDS else kind, found, match.start(kind) + 1))
        if len(tokens) > MOST_TOKENS:
            raise ExpressionInvalid(f"It may have {MOST_TOKENS} numbers, names and signs; it has more.")
        position = match.end()
    tokens.append(_Token("end", "", stop + 1))
    return tokens


class _Reader:
    """Recursive descent; what it returns is either a number or a truth, and the two are never mixed."""

    def __init__(self, tokens: list[_Token], known: frozenset[str]) -> None:
        self._tokens = tokens
        self._known = known
        self._place = 0
        self._depth = 0
        self.names: set[str] = set()

    def whole(self) -> _Truth:
        if self._now.kind == "end":
            raise ExpressionInvalid("It is empty.")
        start = self._now
        found = self._either()
        if self._now.kind != "end":
            raise ExpressionInvalid(f"Character {self._now.at}: {self._now.text!r} was not expected.")
        return self._truth(found, start)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> str | None:
        if self._now.kind in ("sign", "word") and self._now.text in texts:
            self._place += 1
            return self._tokens[self._place - 1].text
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            found = f"{self._now.text!r}" if self._now.text else "the end"
            raise ExpressionInvalid(f"Character {self._now.at}: {text!r} was expected, not {found}.")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionInvalid(f"Character {self._now.at}: it is nested more than {DEEPEST} deep.")

    @staticmethod
    def _truth(found: "_Found", start: _Token) -> _Truth:
        if found.truth is None:
            raise ExpressionInvalid(f"Character {start.at}: a comparison was expected here, such as price > 100.")
        return found.truth

    @staticmethod
    def _number(found: "_Found", start: _Token) -> _Number:
        if found.number is None:
            raise ExpressionInvalid(f"Character {start.at}: a number was expected here, not a comparison.")
        return found.number

    def _either(self) -> "_Found":
        start = self._now
        left = self._both()
        while self._take("or"):
            right_start = self._now
            left = _Found(truth=_or(self._truth(left, start), self._truth(self._both(), right_start)))
        return left

    def _both(self) -> "_Found":
        start = self._now
        left = self._negated()
        while self._take("and"):
            right_start = self._now
            left = _Found(truth=_and(self._truth(left, start), self._truth(self._negated(), right_start)))
        return left

    def _negated(self) -> "_Found":
        if self._take("not"):
            self._deeper()
            start = self._now
            found = _Found(truth=_not(self._truth(self._negated(), start)))
            self._depth -= 1
            return found
        return self._compared()

    def _compared(self) -> "_Found":
        start = self._now
        left = self._sum()
        sign = self._take(*_COMPARISONS)
        if sign is None:
            return left
        right_start = self._now
        right = self._number(self._sum(), right_start)
        if self._now.text in _COMPARISONS and self._now.kind == "sign":
            raise ExpressionInvalid(f"Character {self._now.at}: join comparisons with and, such as 1 < x and x < 2.")
        return _Found(truth=_compare(_COMPARISONS[sign], self._number(left, start), right))

    def _sum(self) -> "_Found":
        start = self._now
        left = self._product()
        while sign := self._take("+", "-"):
            right_start = self._now
            right = self._number(self._product(), right_start)
            left = _Found(number=_operate(_ARITHMETIC[sign], self._number(left, start), right))
        return left

    def _product(self) -> "_Found":
        start = self._now
        left = self._signed()
        while sign := self._take("*", "/"):
            right_start = self._now
            right = self._number(self._signed(), right_start)
            left = _Found(number=_operate(_ARITHMETIC[sign], self._number(left, start), right))
        return left

    def _signed(self) -> "_Found":
        if self._take("-"):
            self._deeper()
            start = self._now
            found = _Found(number=_minus(self._number(self._signed(), start)))
            self._depth -= 1
            return found
        return self._atom()

    def _atom(self) -> "_Found":
        token = self._now
        if token.kind == "number":
            self._place += 1
            return _Found(number=_constant(Decimal(token.text)))
        if token.kind == "name":
            self._place += 1
            return self._call(token) if token.text in _FUNCTIONS else self._named(token)
        if self._take("("):
            self._deeper()
            found = self._either()
            self._need(")")
            self._depth -= 1
            return found
        found_text = f"{token.text!r}" if token.text else "the end"
        raise ExpressionInvalid(f"Character {token.at}: a number or a name was expected, not {found_text}.")

    def _named(self, token: _Token) -> "_Found":
        if token.text not in self._known:
            names = ", ".join(sorted(self._known))
            raise ExpressionInvalid(f"Character {token.at}: {token.text!r} is not known here; known are {names}.")
        self.names.add(token.text)
        return _Found(number=_figure(token.text))

    def _call(self, token: _Token) -> "_Found":
        least, most = _FUNCTIONS[token.text]
        self._need("(")
        self._deeper()
        given: list[_Number] = []
        while True:
            start = self._now
            given.append(self._number(self._sum(), start))
            if self._take(",") is None:
                break
        self._need(")")
        self._depth -= 1
        if not least <= len(given) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ExpressionInvalid(f"Character {token.at}: {token.text} takes {wanted} numbers, not {len(given)}.")
        return _Found(number=_call(token.text, given))


@dataclass(frozen=True)
class _Found:
    """What a part of the text is: a number or a truth."""

    number: _Number | None = None
    truth: _Truth | None = None


def _constant(value: Decimal) -> _Number:
    return lambda _: value


def _figure(name: str) -> _Number:
    return lambda figures: figures[name]


def _minus(number: _Number) -> _Number:
    return lambda figures: _CONTEXT.minus(number(figures))


def _operate(operation: Callable[[Decimal, Decimal], Decimal], left: _Number, right: _Number) -> _Number:
    return lambda figures: operation(left(figures), right(figures))


def _call(name: str, given: list[_Number]) -> _Number:
    if name == "abs":
        return lambda figures: _CONTEXT.abs(given[0](figures))
    choose: Callable[[list[Decimal]], Decimal] = min if name == "min" else max
    return lambda figures: choose([number(figures) for number in given])


def _compare(holds: Callable[[Decimal, Decimal], bool], left: _Number, right: _Number) -> _Truth:
    return lambda figures: holds(left(figures), right(figures))


def _or(left: _Truth, right: _Truth) -> _Truth:
    # Both sides are always computed: whether it can be computed at all must not depend on the figures' order.
    return lambda figures: left(figures) | right(figures)


def _and(left: _Truth, right: _Truth) -> _Truth:
    return lambda figures: left(figures) & right(figures)


def _not(truth: _Truth) -> _Truth:
    return lambda figures: not truth(figures)
