"""What makes an entry of the registry valid. Plain data in, plain data out; every error names its field."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from agents.choices import AgentKind
from agents.keys import key_refusal
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.agent_section import ISO_DAY, SECRET_KEYS
from workflows.strategies import strategy_types

# As a team names its members; no hyphen, so that a name never looks like an id.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
TOOL = re.compile(r"[a-z][a-z0-9_]{0,59}")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_SECRET_ENDS = ("api_key", "apikey", "api-key", "_secret", "_password", "access_token", "authorization")
MAX_URL = 500
MAX_LLM_CONFIG = 16 * 1024
MAX_TOOLS = 50
MAX_ITERATIONS = 50


def agent_checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an agent, as they are kept.

    Raises:
        ValidationFailed: naming each wrong field.
    """
    values = {**fields, "name": str(fields["name"]).strip()}
    errors = [*_plain_errors(values), *_secret_errors(values["llm_config"], "llm_config"), *_kind_errors(values)]
    if values["api_key_env"] and not errors:
        errors.extend(_key_errors(values))
    if errors:
        raise ValidationFailed(errors=errors)
    return values


def _plain_errors(values: Mapping[str, Any]) -> Iterator[FieldError]:
    if not NAME.fullmatch(values["name"]):
        detail = "Must be 1 to 60 letters, digits or underscores, starting with a letter."
        yield FieldError("name", "invalid", detail)
    tools = values["tools"]
    if len(tools) > MAX_TOOLS:
        yield FieldError("tools", "too_many", f"An agent has at most {MAX_TOOLS} tools.")
    for index, tool in enumerate(tools):
        if not TOOL.fullmatch(tool):
            detail = "Must be 1 to 60 lower case letters, digits or underscores, starting with a letter."
            yield FieldError(f"tools/{index}", "invalid", detail)
        elif tool in tools[:index]:
            yield FieldError(f"tools/{index}", "duplicate", "It is named already.")
    if not 1 <= values["max_iterations"] <= MAX_ITERATIONS:
        yield FieldError("max_iterations", "invalid", f"Must be a whole number from 1 to {MAX_ITERATIONS}.")
    if len(json.dumps(values["llm_config"])) > MAX_LLM_CONFIG:
        yield FieldError("llm_config", "too_large", f"Must be at most {MAX_LLM_CONFIG // 1024} KiB of JSON.")
    if values["api_key_env"] and not VARIABLE.fullmatch(values["api_key_env"]):
        detail = "Must be the name of a variable: capital letters, digits and underscores. Never the key itself."
        yield FieldError("api_key_env", "invalid", detail)


def _secret_errors(value: Any, pointer: str) -> Iterator[FieldError]:
    """Name each place that looks as if it held a secret: the registry is shown, exported and audited."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = str(key).lower()
            if name in SECRET_KEYS or name.endswith(_SECRET_ENDS):
                yield FieldError(f"{pointer}/{key}", "secret", "Name the variable that holds it in `api_key_env`.")
            elif name == "api_key_env":
                yield FieldError(f"{pointer}/{key}", "not_allowed", "It stands beside `llm_config`.")
            else:
                yield from _secret_errors(inner, f"{pointer}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secret_errors(inner, f"{pointer}/{index}")


def _url_errors(url: str, field: str) -> Iterator[FieldError]:
    """Judge the form of an address. Where it leads is asked at each call: a name may be set up later, and change."""
    schemes = ("https",) if settings.PRODUCTION else ("http", "https")
    try:
        parts = urlsplit(url)
        # Asked for here because it is only then that Python reads it.
        _ = parts.port
    except ValueError:
        yield FieldError(field, "invalid", "This is no web address.")
        return
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        yield FieldError(field, "invalid", f"Must be at most {MAX_URL} characters of ASCII without spaces.")
    elif parts.scheme not in schemes or not parts.hostname:
        yield FieldError(
            field, "invalid", f"Must begin with {' or '.join(f'{s}://' for s in schemes)} and name a host."
        )
    elif parts.username is not None or parts.password is not None:
        yield FieldError(field, "secret", "An address carries no user and no password; use `api_key_env`.")
    elif parts.fragment:
        yield FieldError(field, "invalid", "An address to call has no fragment.")
    elif any(name.lower() in SECRET_KEYS for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        yield FieldError(field, "secret", "An address carries no key; use `api_key_env`.")


def _kind_errors(values: Mapping[str, Any]) -> Iterator[FieldError]:
    kind, endpoint = values["kind"], values["endpoint"]
    if kind not in AgentKind.values:
        yield FieldError("kind", "invalid_choice", f"Must be one of {', '.join(AgentKind.values)}.")
        return
    if kind == AgentKind.RULE:
        if endpoint not in strategy_types:
            known = ", ".join(item.slug for item in strategy_types.all())
            yield FieldError("endpoint", "unknown", f"Must name the rule that the agent follows. Known: {known}.")
        for name in ("health_url", "api_key_env"):
            if values[name]:
                yield FieldError(name, "not_allowed", "A rule is at no address.")
        return
    if endpoint:
        yield from _url_errors(endpoint, "endpoint")
    elif kind == AgentKind.HTTP:
        yield FieldError("endpoint", "required", "An agent of kind http is called at an address.")
    elif values["api_key_env"]:
        yield FieldError("api_key_env", "not_allowed", "Without an address there is nobody to tell a key.")
    if kind == AgentKind.LLM:
        model = values["llm_config"].get("model")
        if not isinstance(model, str) or not 0 < len(model) <= 200:
            yield FieldError("llm_config/model", "required", "An agent of kind llm names its model.")
        cutoff = values["llm_config"].get("training_cutoff")
        if cutoff is not None and not (isinstance(cutoff, str) and re.match(ISO_DAY, cutoff)):
            detail = "Must be a day such as 2025-06-30: the last that the model may have read of."
            yield FieldError("llm_config/training_cutoff", "invalid", detail)
        if values["health_url"]:
            yield FieldError("health_url", "not_allowed", "A model is probed at `<endpoint>/models`.")
    elif values["health_url"]:
        yield from _url_errors(values["health_url"], "health_url")


def _key_errors(values: Mapping[str, Any]) -> Iterator[FieldError]:
    for field in ("endpoint", "health_url"):
        if values[field] and (refusal := key_refusal(values["api_key_env"], values[field])):
            yield FieldError("api_key_env", "not_allowed", refusal)
            return
