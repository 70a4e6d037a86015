"""Handing an e-mail to a server within a bounded time, and knowing whether it took it."""

import logging
import smtplib
import threading
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.mail.backends.smtp import EmailBackend

logger = logging.getLogger(__name__)


class BoundedSmtp(EmailBackend):
    """Django's backend with an end to its patience.

    EMAIL_TIMEOUT bounds each wait for the server, so that one that sends a letter now and then holds its caller for ever:
    all waits of one call together end after EMAIL_TOGETHER_S. What a server answers, or does not, to the goodbye changes
    nothing about what it has taken before.
    """

    @property
    def connection_class(self) -> Any:
        kind: type[smtplib.SMTP] = smtplib.SMTP_SSL if self.use_ssl else smtplib.SMTP
        watched = self._watched

        class Watched(kind):  # type: ignore[valid-type,misc]
            def _get_socket(self, *args: Any) -> Any:
                # The first moment at which there is something that can be hung up, before the server's first word.
                self.sock = super()._get_socket(*args)
                watched.append(self)
                return self.sock

        return Watched

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        """As Django's.

        Raises:
            SMTPException, OSError: they were not taken, or nobody knows.
        """
        self._watched: list[smtplib.SMTP] = []
        done = threading.Event()
        watching = threading.Thread(target=self._hang_up, args=(done,), name="e-mail deadline", daemon=True)
        watching.start()
        try:
            return super().send_messages(email_messages)
        finally:
            self.close()
            done.set()
            watching.join()

    def close(self) -> None:
        try:
            super().close()
        except (smtplib.SMTPException, OSError) as error:
            logger.info("the mail server did not say goodbye: %s", error)
        for each in getattr(self, "_watched", ()):
            each.close()

    def _hang_up(self, done: threading.Event) -> None:
        if done.wait(settings.EMAIL_TOGETHER_S):
            return
        while True:
            for each in list(self._watched):
                sock = each.sock
                if sock is not None:
                    try:
                        sock.shutdown(2)
                    except OSError:
                        logger.debug("the mail server has hung up itself")
            # Again, since a call may be just about to make its socket another one, for TLS.
            if done.wait(0.5):
                return
