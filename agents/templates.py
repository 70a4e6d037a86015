"""The members that a team can be put together of, as the API offers them. Their prompts are kept with the workflows."""

from typing import Any

from workflows.agent_prompts import OFFERED


def templates_as_json() -> list[dict[str, Any]]:
    """Return the templates in the words of the API."""
    return [
        {
            "name": each.name,
            "description": each.description,
            "default_prompt": each.default_prompt,
            "recommended_model": each.recommended_model,
            "required_tools": list(each.required_tools),
        }
        for each in OFFERED
    ]
