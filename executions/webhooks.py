"""Found at start-up: the types of events that this app tells webhooks of are registered with its announcements."""

from executions import announcements

__all__ = ["announcements"]
