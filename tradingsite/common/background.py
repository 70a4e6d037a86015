"""Small duties that run beside the workers: the watchdog, the settling of resting orders, and the relay.

An app registers a duty when it is ready; every process that carries work (`up`, a Celery worker, `relay`) runs each
in a thread of its own. A duty must be safe to run in any number of processes at once.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, close_old_connections

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duty:
    name: str
    run: Callable[[], object]
    every_s: float


_duties: dict[str, Duty] = {}


def register(name: str, run: Callable[[], object], *, every_s: float) -> None:
    """Have `run` called about every `every_s` seconds in each process that carries work."""
    if name in _duties:
        raise ImproperlyConfigured(f"background duty {name!r} is registered twice")
    _duties[name] = Duty(name, run, every_s)


def guarded(name: str, run: Callable[[], object]) -> Callable[[], None]:
    """Return `run` as one round of a duty that outlives every fault: the next round tries again.

    A database or a broker that is away is told once; what nobody expected is told each time, with its traceback.
    """
    failing = False

    def round_() -> None:
        nonlocal failing
        try:
            close_old_connections()
            run()
            failing = False
        except (Error, OSError) as error:
            if not failing:
                logger.warning("duty %s cannot work for now: %s", name, error)
            failing = True
        except Exception:  # the border to the duties of the apps: a thread that died would look like an idle one
            logger.exception("duty %s failed", name)
        finally:
            with contextlib.suppress(Error):
                close_old_connections()

    return round_


class Background:
    """The threads of all duties and of the relay; `stop` ends them within a moment."""

    def __init__(self) -> None:
        from tradingsite.common.relay import Relay

        self._stop = threading.Event()
        self._relay = Relay()
        self._threads = [
            threading.Thread(target=self._loop, args=(duty,), name=f"duty {duty.name}", daemon=True)
            for duty in _duties.values()
        ]

    def start(self) -> None:
        self._relay.start()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        self._relay.stop(timeout_s)
        for thread in self._threads:
            thread.join(timeout_s)

    def _loop(self, duty: Duty) -> None:
        round_ = guarded(duty.name, duty.run)
        while True:
            round_()
            if self._stop.wait(duty.every_s):
                return
