"""Whether a model may know what came after the bar that it is asked about."""

from dataclasses import replace

from agents.team.words import Code, ModelRef, Outcome, Provider, Task, Team

_KNOWS = "{} was trained until {}, after this bar: it may know what came next."
_UNTOLD = "Until when {} was trained is not told: it may know what came after this bar."


def _asked(team: Team) -> dict[str, ModelRef]:
    """Return the models behind an API that the team thinks with, by name. The desk's own rules learnt nothing."""
    refs = [member.model for member in team.members if member.model.provider is Provider.OPENAI]
    return {ref.model: ref for ref in refs}


def remarks(team: Team, task: Task) -> dict[Code, list[str]]:
    """Return what a reader of the decision must know of the models' training, in words, by code."""
    found: dict[Code, list[str]] = {}
    for name, ref in sorted(_asked(team).items()):
        if not ref.training_cutoff:
            found.setdefault(Code.TRAINING_CUTOFF_UNKNOWN, []).append(_UNTOLD.format(name))
        elif task.bar_time[:10] <= ref.training_cutoff:
            words = _KNOWS.format(name, ref.training_cutoff)
            found.setdefault(Code.BEFORE_TRAINING_CUTOFF, []).append(words)
    return found


def remarked(outcome: Outcome, team: Team, task: Task, *, most: int) -> Outcome:
    """Return a sound outcome whose decision says so in its reason, of at most `most` characters; others as they are."""
    found = remarks(team, task)
    if outcome.decision is None or not found:
        return outcome
    said = " ".join(words for each in found.values() for words in each)[: most // 2]
    reason = f"{str(outcome.decision['reason'])[: most - len(said) - 1]} {said}"
    decision = {**outcome.decision, "reason": reason}
    return replace(outcome, decision=decision, warnings=(*outcome.warnings, *found))
