"""How alerts of rules are told: in the app, by webhook, by e-mail; together, once, and visibly when it fails."""

import json
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test.utils import CaptureQueriesContext

from safety import services
from safety.alerting import duties, emails
from safety.models import AlertEmail, AlertEvent
from tests.alerts.conftest import Watchman
from tests.conftest import user_with_role
from tests.support.webhooks import maker
from tradingsite.common import background
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.models import LiveEvent
from tradingsite.common.roles import Role
from tradingsite.common.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

ALL = ["in_app", "email", "webhook"]


@pytest.fixture
def mailed(settings: Any, watch: Watchman, trader: Any) -> Watchman:
    """A desk that sends e-mails, and an owner who has an address."""
    settings.EMAIL_ENABLED = True
    settings.DEFAULT_FROM_EMAIL = "desk@example.com"
    trader.email = "trader@example.com"
    trader.save()
    return watch


class Unwilling(EmailBackend):
    """A mail server that hangs up."""

    def send_messages(self, messages: Any) -> int:
        raise SMTPServerDisconnected("Connection unexpectedly closed")


def live() -> list[str]:
    return [event.data["name"] for event in LiveEvent.objects.filter(stream="alerts", type="alert").order_by("seq")]


def test_each_channel_tells_and_no_other(mailed: Watchman, actor: Actor, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["alert.triggered"])
    for channel in ALL:
        mailed.rule(name=channel, channels=[channel])
    mailed.look(101)
    assert AlertEvent.objects.count() == 3, "the history has every one"
    assert live() == ["in_app"]
    assert [json.loads(row.body)["data"]["name"] for row in WebhookDelivery.objects.all()] == ["webhook"]
    assert AlertEvent.objects.get(name="email").email == AlertEmail.objects.get()
    assert not AlertEvent.objects.exclude(name="email").exclude(email=None).exists()


def test_an_e_mail_is_written_with_the_alert_and_sent_afterwards(mailed: Watchman) -> None:
    mailed.rule(name="ACME is dear", severity="critical", channels=["email"])
    mailed.look(101)
    assert mail.outbox == []
    assert emails.send_due() == 1
    (message,) = mail.outbox
    assert (message.subject, message.to) == ("[Trading desk] ACME is dear", ["trader@example.com"])
    assert message.body == "CRITICAL: ACME is dear\nACME is at 101, above 100.\n"
    row = AlertEmail.objects.get()
    assert (row.status, row.attempts, row.sent_to, row.last_error) == ("sent", 1, "trader@example.com", "")
    assert emails.send_due() == 0
    assert len(mail.outbox) == 1


def test_the_alerts_of_one_round_are_one_e_mail_to_each_owner(mailed: Watchman, settings: Any) -> None:
    other = user_with_role(Role.TRADER, "other")
    other.email = "other@example.com"  # type: ignore[attr-defined]
    other.save()
    for number in range(60):
        mailed.rule(name=f"rule {number}", channels=["email"])
    mailed.rule(name="theirs", channels=["email"], actor=Actor.for_user(other))
    mailed.look(101)
    assert emails.send_due() == 2
    by_address = {message.to[0]: message for message in mail.outbox}
    assert by_address["other@example.com"].subject == "[Trading desk] theirs"
    assert by_address["trader@example.com"].subject == "[Trading desk] 60 alerts"
    assert "and 10 more: see the alert history." in by_address["trader@example.com"].body


@pytest.mark.postgres
@pytest.mark.parametrize("change", ["fires", "recovers"])
def test_a_round_takes_as_many_statements_for_many_rules_that_change_as_for_a_few(
    mailed: Watchman, actor: Actor, settings: Any, change: str
) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["alert.triggered"])
    taken = []
    for more in (30, 60):
        for number in range(more):
            mailed.rule(name=f"rule {number}", channels=ALL)
        mailed.look(90, *([101] if change == "recovers" else []))
        mailed.close(101 if change == "fires" else 90)
        with CaptureQueriesContext(connection) as seen:
            result = mailed.look()
        assert result.changed == result.rules
        assert result.triggered == (result.rules if change == "fires" else 0)
        taken.append(len(seen))
    assert taken[0] == taken[1]


def test_a_line_break_in_a_name_starts_no_header(mailed: Watchman) -> None:
    with pytest.raises(ValidationFailed):
        mailed.rule(name="dear\nBcc: everybody@example.com", channels=["email"])


def test_an_e_mail_that_is_not_taken_is_tried_again_and_its_failure_is_visible(
    mailed: Watchman, settings: Any, frozen_clock: Any, api: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Unwilling"
    mailed.rule(channels=["email"])
    mailed.look(101)
    # As if the round had been now: it was done by another clock.
    AlertEmail.objects.update(next_attempt_at=utcnow())
    for attempt, pause in enumerate(emails.PAUSES, 1):
        assert emails.send_due() == 1
        row = AlertEmail.objects.get()
        assert (row.status, row.attempts) == ("pending", attempt)
        assert row.last_error == "SMTPServerDisconnected: Connection unexpectedly closed"
        assert row.next_attempt_at == utcnow() + pause
        assert emails.send_due() == 0, "not before its time"
        frozen_clock(row.next_attempt_at)
    assert emails.send_due() == 1
    assert AlertEmail.objects.get().status == "failed"
    shown = api("viewer").get("/api/alerts/history?kind=price_above").json()["results"][0]["email"]
    assert (shown["status"], shown["attempts"]) == ("failed", 6)
    assert "SMTPServerDisconnected" in shown["last_error"]
    told = AlertEvent.objects.get(kind="email_failed")
    assert "trader, 6 attempts" in told.message
    frozen_clock(utcnow() + timedelta(days=1))
    assert emails.send_due() == 0


def test_an_e_mail_gets_through_once_the_server_is_back(mailed: Watchman, settings: Any, frozen_clock: Any) -> None:
    backend, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Unwilling"
    mailed.rule(channels=["email"])
    mailed.look(101)
    AlertEmail.objects.update(next_attempt_at=utcnow())
    emails.send_due()
    settings.EMAIL_BACKEND = backend
    frozen_clock(utcnow() + timedelta(minutes=2))
    assert emails.send_due() == 1
    assert (AlertEmail.objects.get().status, AlertEmail.objects.get().attempts, len(mail.outbox)) == ("sent", 2, 1)


def test_an_e_mail_whose_sender_died_is_sent_by_another(mailed: Watchman, frozen_clock: Any) -> None:
    mailed.rule(channels=["email"])
    mailed.look(101)
    AlertEmail.objects.update(next_attempt_at=utcnow(), attempts=1, claimed_until=utcnow() + emails.LEASE)
    assert emails.send_due() == 0
    frozen_clock(utcnow() + emails.LEASE)
    assert emails.send_due() == 1
    assert (AlertEmail.objects.get().status, AlertEmail.objects.get().attempts) == ("sent", 2)


@pytest.mark.parametrize(
    ("change", "error"), [({"is_active": False}, "is not active"), ({"email": ""}, "has no e-mail address")]
)
def test_whoever_cannot_be_written_to_any_more_is_not(
    mailed: Watchman, trader: Any, change: dict[str, Any], error: str
) -> None:
    mailed.rule(channels=["email"])
    mailed.look(101)
    type(trader).objects.filter(pk=trader.pk).update(**change)
    assert emails.send_due() == 1
    assert mail.outbox == []
    assert error in AlertEmail.objects.get().last_error


def test_the_e_mail_channel_takes_a_mail_server_and_an_address(watch: Watchman, settings: Any) -> None:
    with pytest.raises(ValidationFailed) as refused:
        watch.rule(channels=["email"])
    assert refused.value.errors[0].code == "email_not_set_up"
    settings.EMAIL_ENABLED = True
    with pytest.raises(ValidationFailed) as refused:
        watch.rule(channels=["email"])
    assert (refused.value.errors[0].pointer, refused.value.errors[0].code) == ("channels/0", "owner_without_email")


def test_an_observation_that_has_raised_its_alert_raises_none_again(watch: Watchman) -> None:
    """As if the state of the rule had been lost: the history knows what was told."""
    from safety.models import AlertState

    watch.rule()
    watch.look(101)
    AlertState.objects.all().delete()
    watch.look()
    assert len(watch.raised()) == 1
    assert live() == ["price_above rule"]


def test_the_duties_are_there_and_old_records_go(mailed: Watchman, frozen_clock: Any) -> None:
    assert {"safety.alerts", "safety.alert_emails"} <= set(background._duties)
    mailed.rule(channels=["email"])
    mailed.look(101)
    emails.send_due()
    assert not emails.emails_old(utcnow()).exists()
    AlertEmail.objects.update(created_at=utcnow() - timedelta(days=31))
    assert emails.emails_old(utcnow()).count() == 1
    AlertEmail.objects.update(status="pending", next_attempt_at=utcnow())
    assert not emails.emails_old(utcnow()).exists(), "what is still to be sent stays"
    assert not duties.sightings_old(utcnow()).exists()


def test_new_bars_have_a_worker_look_at_the_rules_about_them(watch: Watchman) -> None:
    from market.services import bars_import_source
    from safety.tasks import alerts_evaluate
    from tradingsite.common.models import OutboxMessage

    waiting = OutboxMessage.objects.filter(task="safety.alerts_evaluate")
    bars_import_source(actor=watch.actor, source="sample", symbols=["IBM"])
    assert not waiting.exists(), "nobody watches IBM"
    watched = watch.rule(symbol="IBM", threshold="1")
    bars_import_source(actor=watch.actor, source="sample", symbols=["IBM"])
    assert not waiting.exists(), "no bar of it has changed"
    watch.rule(symbol="AAPL", threshold="1", config={"source": "demo", "adjustment": "none"})
    bars_import_source(actor=watch.actor, source="sample", symbols=["AAPL"])
    assert waiting.get().kwargs == {"symbols": ["AAPL"]}
    alerts_evaluate(symbols=["IBM"])
    assert len(watch.raised(watched)) == 1
    assert len(watch.raised()) == 1, "it looked at IBM alone"


def test_a_scheduled_job_does_a_round(watch: Watchman) -> None:
    from safety.jobs import EvaluateAlerts
    from tradingsite.common.contracts.jobs import job_types

    assert "safety.evaluate_alerts" in job_types
    watch.rule("price_below")
    done = EvaluateAlerts().run(actor=Actor.system("test"), config={})
    assert done == {"rules": 1, "changed": 1, "triggered": 1, "unknown": 0}


def test_what_the_desk_itself_raises_is_told_as_before(watch: Watchman, actor: Actor, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["alert.triggered"])
    services.alert_raise(kind="clock", name="Clock stopped", severity="warning", message="m", actor=actor)
    assert (live(), WebhookDelivery.objects.count()) == (["Clock stopped"], 1)
