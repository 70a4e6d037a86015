"""E-mails of alerts against a real SMTP server, which refuses, hangs and dies."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connections

from safety.alerting import emails
from safety.models import AlertEmail, AlertEvent
from tests.alerts.conftest import Watchman
from tests.support.smtp import Conversation, MailServer, dies, free_port, mail_server
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    with mail_server() as one:
        settings.EMAIL_BACKEND = "tradingsite.common.mail.BoundedSmtp"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", one.port
        settings.EMAIL_ENABLED = True
        settings.DEFAULT_FROM_EMAIL = "Desk <desk@example.com>"
        yield one


@pytest.fixture
def told(server: MailServer, watch: Watchman, trader: Any, frozen_clock: Any) -> Watchman:
    """An alert whose e-mail waits to be sent."""
    trader.email = "trader@example.com"
    trader.save()
    watch.rule(name="ACME is dear", channels=["email", "in_app"])
    watch.look(101)
    AlertEmail.objects.update(next_attempt_at=utcnow())
    return watch


def again(frozen_clock: Any) -> None:
    """Go on to the moment of the next attempt."""
    due = AlertEmail.objects.get().next_attempt_at
    assert due is not None
    frozen_clock(due)
    assert emails.send_due() == 1


def test_a_server_is_given_the_e_mail_and_the_history_says_to_whom_and_when(
    told: Watchman, server: MailServer, api: Any
) -> None:
    assert emails.send_due() == 1
    (taken,) = server.taken
    assert taken.recipients == ("trader@example.com",)
    assert (taken.message["Subject"], taken.message["From"]) == (
        "[Trading desk] ACME is dear",
        "Desk <desk@example.com>",
    )
    assert "ACME is at 101, above 100." in taken.message.get_payload()
    shown = api("viewer").get("/api/alerts/history").json()["results"][0]["email"]
    assert (shown["to"], shown["status"], shown["attempts"], shown["last_error"]) == ("trader", "sent", 1, "")
    assert shown["sent_at"] is not None
    assert AlertEmail.objects.get().sent_to == "trader@example.com"


@pytest.mark.parametrize(
    ("stage", "answer", "said"),
    [
        ("greeting", b"554 no service", "554"),
        ("mail", b"451 not now", "451"),
        ("mail", b"530 authentication required", "530"),
        ("rcpt", b"450 greylisted", "greylisted"),
        ("data", b"451 not now", "451"),
        ("body", b"452 the disk is full", "the disk is full"),
        ("ehlo", b"xxx", "SMTP"),
    ],
)
def test_what_is_refused_is_tried_again_and_says_why(
    told: Watchman, server: MailServer, api: Any, frozen_clock: Any, stage: str, answer: bytes, said: str
) -> None:
    server.says(stage, answer)
    if stage == "ehlo":
        server.says("helo", answer)
    assert emails.send_due() == 1
    row = AlertEmail.objects.get()
    assert (row.status, row.attempts, row.sent_at) == ("pending", 1, None)
    assert row.next_attempt_at == utcnow() + timedelta(minutes=1)
    shown = api("viewer").get("/api/alerts/history").json()["results"][0]["email"]
    assert said in shown["last_error"]
    assert "trader@example.com" not in shown["last_error"], "an address is its owner's affair"
    server.says(stage, None)
    refused = len(server.taken)
    again(frozen_clock)
    assert AlertEmail.objects.get().status == "sent"
    assert len(server.taken) == refused + 1


@pytest.mark.parametrize(
    ("stage", "answer", "said"),
    [
        ("mail", b"553 nobody of this name here", "nobody of this name"),
        ("rcpt", b"550 no such user", "no such user"),
        ("data", b"554 no", "554"),
        ("body", b"552 too much mail", "too much mail"),
    ],
)
def test_what_is_refused_for_good_is_not_tried_again_and_the_history_and_an_alert_say_so(
    told: Watchman, server: MailServer, api: Any, stage: str, answer: bytes, said: str
) -> None:
    server.says(stage, answer)
    assert emails.send_due() == 1
    row = AlertEmail.objects.get()
    assert (row.status, row.attempts, row.next_attempt_at) == ("failed", 1, None)
    [listed] = [each for each in api("viewer").get("/api/alerts/history").json()["results"] if each["email"]]
    assert listed["email"]["last_error"].startswith("Refused for good, so not tried again.")
    assert said in listed["email"]["last_error"]
    assert "1 attempt:" in AlertEvent.objects.get(kind="email_failed").message
    server.says(stage, None)
    assert emails.send_due() == 0


def test_nobody_listens(told: Watchman, server: MailServer, settings: Any, frozen_clock: Any) -> None:
    settings.EMAIL_PORT = free_port()
    assert emails.send_due() == 1
    assert "ConnectionRefusedError" in AlertEmail.objects.get().last_error
    settings.EMAIL_PORT = server.port
    again(frozen_clock)
    assert len(server.taken) == 1


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "content"])
@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_server_that_dies_or_hangs_before_the_whole_e_mail_is_there_gets_it_once(
    told: Watchman, server: MailServer, settings: Any, frozen_clock: Any, stage: str, how: str
) -> None:
    settings.EMAIL_TIMEOUT = 0.3
    server.says(stage, dies if how == "dies" else Conversation.hang)
    assert emails.send_due() == 1
    assert (AlertEmail.objects.get().status, AlertEmail.objects.get().attempts) == ("pending", 1)
    assert AlertEmail.objects.get().last_error
    server.says(stage, None)
    again(frozen_clock)
    assert len(server.taken) == 1


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_server_that_has_the_e_mail_and_never_says_so_is_given_it_again_under_the_same_id(
    told: Watchman, server: MailServer, settings: Any, frozen_clock: Any, how: str
) -> None:
    """Nobody can know whether it was delivered: the protocol has no question for it. A mail program shows one."""
    settings.EMAIL_TIMEOUT = 0.3
    server.says("body", dies if how == "dies" else Conversation.hang)
    assert emails.send_due() == 1
    assert AlertEmail.objects.get().status == "pending"
    server.says("body", None)
    again(frozen_clock)
    assert AlertEmail.objects.get().status == "sent"
    first, second = server.taken
    assert first.message["Message-ID"] == second.message["Message-ID"] is not None


@pytest.mark.parametrize("goodbye", [dies, Conversation.hang, b"2" * 9000, b"500 what?"])
def test_what_a_server_says_to_the_goodbye_makes_no_second_e_mail(
    told: Watchman, server: MailServer, settings: Any, goodbye: Any
) -> None:
    settings.EMAIL_TIMEOUT = 0.3
    server.says("quit", goodbye)
    assert emails.send_due() == 1
    assert AlertEmail.objects.get().status == "sent"
    assert len(server.taken) == 1


@pytest.mark.parametrize("stage", ["greeting", "rcpt", "body"])
def test_a_server_that_sends_letter_after_letter_is_hung_up_on(
    told: Watchman, server: MailServer, settings: Any, stage: str
) -> None:
    """Each letter is well within the time of one wait, so that only the bound of all together ends it."""
    settings.EMAIL_TIMEOUT, settings.EMAIL_TOGETHER_S = 30, 0.3
    server.says(stage, Conversation.drip)
    assert emails.send_due() == 1
    assert (AlertEmail.objects.get().status, AlertEmail.objects.get().attempts) == ("pending", 1)
    assert AlertEmail.objects.get().last_error


def test_all_waits_for_one_e_mail_end_before_its_claim_does() -> None:
    assert emails.LEASE.total_seconds() >= 2 * configured.EMAIL_TOGETHER_S


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_server_that_hangs_holds_up_no_round_of_the_rules(told: Watchman, server: MailServer, settings: Any) -> None:
    asked = threading.Event()

    def hangs(conversation: Conversation) -> bytes | None:
        if asked.is_set():
            return None
        asked.set()
        return conversation.hang()

    server.says("rcpt", hangs)

    def send() -> None:
        emails.send_due()
        connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    assert asked.wait(10)
    told.rule(name="another", channels=["email"])
    assert told.look().triggered == 1
    assert AlertEvent.objects.count() == 2
    assert emails.send_due() == 1, "another process sends what has come since, and leaves alone what hangs"
    assert [each.message["Subject"] for each in server.taken] == ["[Trading desk] another"]
    server.over.set()
    sender.join(20)
    assert sorted(AlertEmail.objects.values_list("status", "attempts")) == [("pending", 1), ("sent", 1)]
