"""What a floor may name that only a floor above it knows: whether there is such a thing.

An id from above is kept without a foreign key, which may only point down. The app that owns the thing registers a directory
when it is ready; who is given an id asks by name.
"""

from typing import Protocol
from uuid import UUID

from tradingsite.common.contracts.registry import Registry, UnknownName

STRATEGY, WORKFLOW = "strategy", "workflow"


class Directory(Protocol):
    """Things of one kind, by which name others ask for them: `slug`."""

    slug: str

    def is_known(self, id: UUID) -> bool:
        """Say whether there is such a thing that everybody who may ask may also see; what is deleted is none."""
        ...


directories: Registry[Directory] = Registry("directory")


def is_known(slug: str, id: UUID) -> bool:
    """Say whether there is a thing of this kind and id; where no installed app has such things there is none."""
    try:
        return directories.get(slug).is_known(id)
    except UnknownName:
        return False
