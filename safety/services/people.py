"""What only a person may do, with a reason."""

from safety.errors import ResumeNeedsPerson
from tradingsite.common.actor import Actor
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.roles import Role


def person_required(*, actor: Actor, reason: str) -> None:
    """Let only an operator or an admin go on after a halt, and only with a reason.

    Raises:
        ResumeNeedsPerson: for a program, or a person below operator.
        ValidationFailed: without a reason.
    """
    if actor.kind != "user" or not actor.may(Role.OPERATOR):
        raise ResumeNeedsPerson(
            "An operator or an admin resumes, signed in as themselves; a key or a program does not."
        )
    if not reason.strip():
        raise ValidationFailed(errors=[FieldError("reason", "required", "Say why it is safe to go on.")])
