"""Sending the e-mails of alerts: claimed in the database, sent without a connection to it, noted afterwards.

A process that dies between the sending and the note leaves a claim that runs out, and the e-mail is sent again: at least
once, not at most.
"""

import logging
from datetime import datetime, timedelta
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPSenderRefused
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from safety.choices import AlertKind, EmailStatus, Severity
from safety.models.alert_rules import AlertEmail
from safety.services.alerts import alert_raise
from tradingsite.common import lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

logger = logging.getLogger(__name__)

PAUSES = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)
# Twice what the server may take in all (EMAIL_TOGETHER_S): nobody else sends it while somebody may still do so.
LEASE = timedelta(seconds=120)
BATCH = 50
# RFC 4954: what a server says while it wants a login, or another one.
_OF_THE_LOGIN = frozenset({530, 534, 535, 538})
KEPT = timedelta(days=30)
DESK = Actor.system("e-mail")


def send_due() -> int:
    """Send what is due, one after the other, and return how many attempts that were. Safe in any number of processes."""
    attempts = 0
    for email_id in list(_due(utcnow()).order_by("next_attempt_at", "id").values_list("pk", flat=True)[:BATCH]):
        if lifecycle.stopping.is_set():
            break
        claimed = _claim(email_id)
        if claimed is not None:
            _note(claimed, *_sent(claimed))
            attempts += 1
    return attempts


def emails_old(now: datetime) -> QuerySet[AlertEmail]:
    """Return the e-mails whose record has been kept long enough."""
    return AlertEmail.objects.filter(created_at__lt=now - KEPT).exclude(status=EmailStatus.PENDING)


def _due(now: datetime) -> QuerySet[AlertEmail]:
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    return AlertEmail.objects.filter(free, status=EmailStatus.PENDING, next_attempt_at__lte=now)


def _claim(email_id: UUID) -> AlertEmail | None:
    now = utcnow()
    taken = _due(now).filter(pk=email_id).update(attempts=F("attempts") + 1, claimed_until=now + LEASE, updated_at=now)
    return AlertEmail.objects.select_related("user").get(pk=email_id) if taken else None


def _sent(email: AlertEmail) -> tuple[str, bool]:
    """Send an e-mail; return what went wrong, empty when the server took it, and whether it will never be otherwise."""
    if not settings.EMAIL_ENABLED:
        return "No mail server is set up: set EMAIL_URL.", False
    if not email.user.is_active:
        return "The owner's account is not active.", False
    if not email.user.email:
        return "The owner has no e-mail address.", False
    message = EmailMessage(email.subject, email.body, to=[email.user.email], headers={"Message-ID": _message_id(email)})
    if not connection.in_atomic_block:
        # A server that is slow to answer must not hold a connection of the pool meanwhile.
        connection.close()
    try:
        message.send()
    except (SMTPException, OSError, ValueError) as error:
        # ValueError: an address or a subject that no header can carry.
        # Whoever reads the history reads this; the address is its owner's affair.
        said = f"{type(error).__name__}: {error}".replace(email.user.email, "the owner's address")
        final = _refused_for_good(error)
        return f"Refused for good, so not tried again. {said}" if final else said, final
    return "", False


def _refused_for_good(error: Exception) -> bool:
    """Say whether a server has refused this e-mail with a 5xx, which asks not to be tried again.

    A refusal of the desk itself, at the greeting or for its login, ends when somebody sets that right.
    """
    if isinstance(error, SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    elif isinstance(error, SMTPSenderRefused | SMTPDataError):
        codes = [error.smtp_code]
    else:
        return False
    return bool(codes) and all(500 <= code < 600 and code not in _OF_THE_LOGIN for code in codes)


def _message_id(email: AlertEmail) -> str:
    # The same at every attempt, so that a mail program shows a repetition once.
    return f"<alert-{email.pk.hex}@{settings.EMAIL_MESSAGE_DOMAIN}>"


def _note(email: AlertEmail, error: str, final: bool) -> None:
    now = utcnow()
    changes: dict[str, object] = {"claimed_until": None, "last_error": error[:300], "updated_at": now}
    if not error:
        changes |= {"status": EmailStatus.SENT, "next_attempt_at": None, "sent_at": now, "sent_to": email.user.email}
    elif final or email.attempts > len(PAUSES):
        changes |= {"status": EmailStatus.FAILED, "next_attempt_at": None}
    else:
        changes["next_attempt_at"] = now + PAUSES[email.attempts - 1]
    with transaction.atomic():
        # Only while the claim is ours: whoever sends it again writes what becomes of it.
        mine = AlertEmail.objects.filter(pk=email.pk, attempts=email.attempts, status=EmailStatus.PENDING)
        if mine.update(**changes) and changes.get("status") == EmailStatus.FAILED:
            alert_raise(
                kind=AlertKind.EMAIL_FAILED,
                name="An e-mail could not be sent",
                severity=Severity.WARNING,
                message=f"To {email.user.get_username()}, {_attempts(email.attempts)}: {email.subject}. {error}"[:2000],
                event_id=email.pk,
                actor=DESK,
            )
    if error:
        logger.warning("e-mail %s was not sent: %s", email.pk, error)


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"
