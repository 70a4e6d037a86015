"""A ready-made body for each template type: valid as it is, and a start for one's own."""

import copy
from typing import Any

from workflows.agent_prompts import EXECUTOR, FUNDAMENTAL, RISK, SENTIMENT, TECHNICAL, AgentTemplate
from workflows.choices import WorkflowType

_SIZING = {"method": "equity_fraction", "value": "$size"}
_RISK = {"name": "risk", "type": "risk_check", "config": {"sizing": _SIZING, "max_orders": 10}}
_ORDER = {"name": "order", "type": "order", "config": {"order_type": "market"}, "retries": 2}
_NOTIFY = {
    "name": "tell",
    "type": "notify",
    "config": {"only_when": "order"},
    "on_error": "continue",
}
_PRICES = {
    "name": "prices",
    "type": "market_data",
    "config": {"timeframe": "$timeframe", "lookback": "$lookback"},
    "retries": 2,
}
_COMMON_PARAMS = {"timeframe": "1d", "lookback": 400, "size": "0.1", "stop_pct": 5.0, "target_pct": 10.0}
_LEVELS = {"stop_pct": "$stop_pct", "target_pct": "$target_pct"}


def _indicator(name: str, slug: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": "indicator", "config": {"indicator": slug, "name": name, "params": params}}


def _signal(slug: str, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "signal",
        "type": "signal",
        "config": {"strategy_type": slug, "params": params, "entry": "state", **_LEVELS},
    }


def _agent(known: AgentTemplate) -> dict[str, Any]:
    """Return a member that thinks with the desk's own rules; name a model in its `llm_config` to have that think."""
    return {
        "agent_name": known.name,
        "enabled": True,
        "role": known.role,
        "description": known.description,
        "system_prompt": known.default_prompt,
        "llm_config": {"temperature": 0.1},
        "max_iterations": 5,
        "tools": list(known.required_tools),
    }


_TREND = _indicator("trend", "sma", {"period": "$trend_period"})
_STRENGTH = _indicator("strength", "rsi", {"period": "$rsi_period"})
_MACD = _indicator("macd", "macd", {"fast": "$macd_fast", "slow": "$macd_slow", "signal": "$macd_signal"})

_TEMPLATES: dict[str, dict[str, Any]] = {
    WorkflowType.TWO_INDICATOR.value: {
        "name": "Trend and strength",
        "description": "Buys when the close stands above its average and the RSI confirms; sells when either turns.",
        "default_params": {
            **_COMMON_PARAMS,
            "trend_period": 50,
            "rsi_period": 14,
            "rsi_entry": 50.0,
            "rsi_exit": 40.0,
        },
        "steps": [
            _PRICES,
            _TREND,
            _STRENGTH,
            _signal(
                "two_indicator",
                {
                    "trend_period": "$trend_period",
                    "rsi_period": "$rsi_period",
                    "rsi_entry": "$rsi_entry",
                    "rsi_exit": "$rsi_exit",
                },
            ),
            _RISK,
            _ORDER,
            _NOTIFY,
        ],
    },
    WorkflowType.THREE_INDICATOR.value: {
        "name": "Trend, strength and MACD",
        "description": "Three indicators vote; two votes buy, two against sell.",
        "default_params": {
            **_COMMON_PARAMS,
            "trend_period": 50,
            "rsi_period": 14,
            "rsi_level": 50.0,
            "macd_fast": 12,
            "macd_slow": 26,
            "macd_signal": 9,
            "votes": 2,
        },
        "steps": [
            _PRICES,
            _TREND,
            _STRENGTH,
            _MACD,
            _signal(
                "three_indicator",
                {
                    "trend_period": "$trend_period",
                    "rsi_period": "$rsi_period",
                    "rsi_level": "$rsi_level",
                    "macd_fast": "$macd_fast",
                    "macd_slow": "$macd_slow",
                    "macd_signal": "$macd_signal",
                    "votes": "$votes",
                },
            ),
            _RISK,
            _ORDER,
            _NOTIFY,
        ],
    },
    WorkflowType.CUSTOM.value: {
        "name": "Momentum, not overbought",
        "description": "Buys what has risen over a quarter, unless the RSI says that it rose too fast.",
        "default_params": {
            **_COMMON_PARAMS,
            "momentum_lookback": 63,
            "threshold": 0.0,
            "exit_threshold": -2.0,
            "rsi_period": 14,
            "overbought": 75.0,
        },
        "steps": [
            _PRICES,
            _STRENGTH,
            _signal(
                "momentum",
                {
                    "lookback": "$momentum_lookback",
                    "threshold": "$threshold",
                    "exit_threshold": "$exit_threshold",
                },
            ),
            {
                "name": "not_overbought",
                "type": "condition",
                "config": {
                    "rules": [{"left": "strength", "op": "<", "right": "$overbought"}],
                    "match": "all",
                    "applies_to": "buy",
                },
            },
            _RISK,
            _ORDER,
            _NOTIFY,
        ],
    },
    WorkflowType.AUTOGEN_MULTI_AGENT.value: {
        "name": "Team of agents",
        "description": "Three analysts look at each symbol, two of them argue for and against, one says what may be "
        "risked, and one decides. They think with the desk's own rules until a model is named in their `llm_config`.",
        "default_params": {
            "timeframe": "1d",
            "lookback": 400,
            "size": "0.1",
            "trend_period": 50,
            "rsi_period": 14,
            "max_rounds": 2,
        },
        "steps": [
            _PRICES,
            _TREND,
            _STRENGTH,
            {
                "name": "team",
                "type": "agents",
                "config": {
                    "agents": [_agent(each) for each in (TECHNICAL, FUNDAMENTAL, SENTIMENT, RISK, EXECUTOR)],
                    "arrangement": "debate",
                    "max_rounds": "$max_rounds",
                    "budget": {"tokens": 200_000, "seconds": 120, "messages": 80},
                },
                "timeout_s": 900,
            },
            _RISK,
            _ORDER,
        ],
    },
}


def template(type_: str) -> dict[str, Any]:
    """Return the body of a template type, as `POST /api/workflows` takes it. The caller may change it.

    Raises:
        KeyError: for a type that is none.
    """
    return {"type": type_, **copy.deepcopy(_TEMPLATES[type_])}


def templates() -> list[dict[str, Any]]:
    """Return every template's body."""
    return [template(type_) for type_ in _TEMPLATES]
