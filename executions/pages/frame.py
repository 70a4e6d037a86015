"""What every page's frame shows: who is here, what they may do, and whether the desk is halted."""

from dataclasses import dataclass, field

from django import forms

from safety import killswitch
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

REASON_LENGTH = 500


class KillForm(forms.Form):
    reason = forms.CharField(max_length=REASON_LENGTH, required=False, strip=True)


class ResumeForm(forms.Form):
    reason = forms.CharField(
        max_length=REASON_LENGTH, strip=True, error_messages={"required": "Say why it is safe to go on."}
    )


@dataclass(frozen=True)
class Frame:
    """The header's facts.

    Attributes:
        halt_title: says in a few words that nothing goes out; empty while trading is open.
        halt_detail: why, since when and by whom.
    """

    role: str
    may_trade: bool
    may_operate: bool
    halted: bool
    halt_title: str
    halt_detail: str
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
    )
