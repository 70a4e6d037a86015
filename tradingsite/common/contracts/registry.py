"""A registry that is filled at start-up and then frozen."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from django.core.exceptions import ImproperlyConfigured


class Registrable(Protocol):
    slug: str


T = TypeVar("T", bound=Registrable)


class UnknownName(KeyError):
    """Nothing is registered under this name."""


class Registry(Generic[T]):
    """Things by slug.

    Args:
        what: the noun for error messages.
        rule: raises ImproperlyConfigured for a slug that this registry does not take.
    """

    def __init__(self, what: str, rule: Callable[[T], None] | None = None) -> None:
        self._what = what
        self._rule = rule
        self._items: dict[str, T] = {}
        self._frozen = False

    def register(self, item: T) -> T:
        """Add `item`; usable as a decorator.

        Raises:
            ImproperlyConfigured: for a duplicate slug, one against the rule, or after the start-up.
        """
        if self._frozen:
            raise ImproperlyConfigured(f"{self._what} {item.slug!r} is registered after the start-up")
        self._add(item)
        return item

    def _add(self, item: T) -> None:
        if item.slug in self._items:
            raise ImproperlyConfigured(f"{self._what} {item.slug!r} is registered twice")
        if self._rule is not None:
            self._rule(item)
        self._items[item.slug] = item

    def get(self, slug: str) -> T:
        """Return the item called `slug`.

        Raises:
            UnknownName: when there is none.
        """
        try:
            return self._items[slug]
        except KeyError:
            raise UnknownName(slug) from None

    def all(self) -> list[T]:
        """Return every item, ordered by slug."""
        return [self._items[slug] for slug in sorted(self._items)]

    def freeze(self) -> None:
        """Refuse registrations from now on."""
        self._frozen = True

    @contextlib.contextmanager
    def temporarily(self, *items: T) -> Iterator[None]:
        """Hold `items` for the length of a block, whether frozen or not: for plug-ins under trial."""
        for item in items:
            self._add(item)
        try:
            yield
        finally:
            for item in items:
                self._items.pop(item.slug, None)

    def __contains__(self, slug: object) -> bool:
        return slug in self._items
