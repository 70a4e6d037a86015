"""What every page's frame shows: who is here, what they may do, and whether the desk is halted."""

from dataclasses import dataclass, field

from django import forms

from safety import killswitch, selectors
from safety.progress import progress_said
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

REASON_LENGTH = 500


class KillForm(forms.Form):
    reason = forms.CharField(max_length=REASON_LENGTH, required=False, strip=True)
    flatten = forms.BooleanField(required=False)


class ResumeForm(forms.Form):
    reason = forms.CharField(
        max_length=REASON_LENGTH, strip=True, error_messages={"required": "Say why it is safe to go on."}
    )


@dataclass(frozen=True)
class Frame:
    """The header's facts.

    Attributes:
        halt_title: says in a few words that nothing goes out; empty while trading is open.
        halt_detail: why and by whom.
        halt_progress: whether all that rests is gone, as two samples found.
    """

    role: str
    may_trade: bool
    may_operate: bool
    halted: bool
    halt_title: str
    halt_detail: str
    halt_progress: str
    kill_form: forms.Form = field(default_factory=KillForm)
    resume_form: forms.Form = field(default_factory=ResumeForm)


def frame(actor: Actor) -> Frame:
    """Return the frame for `actor`. Reads the switch itself, so that the page never says what is no longer so."""
    switch = killswitch.state()
    return Frame(
        role=actor.role.slug if actor.role is not None else "",
        may_trade=actor.may(Role.TRADER),
        may_operate=actor.may(Role.OPERATOR),
        halted=switch.active,
        halt_title="Trading is stopped." if switch.active else "",
        halt_detail=switch.detail,
        halt_progress=_progress(switch),
    )


def _progress(switch: killswitch.KillState) -> str:
    sweep = selectors.kill_status(switch.scope)["sweep"] if switch.active and switch.scope else None
    return "" if sweep is None or sweep["resumed_at"] is not None else progress_said(sweep)
