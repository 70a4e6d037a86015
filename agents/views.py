"""The pages of agents: what was said in a run, and what each agent contributed."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from agents.pages.conversation import conversation_page
from agents.pages.registry import agents_page
from executions.views.door import answer, page
from tradingsite.common.actor import Actor


@require_safe
@page
def run_conversation(request: HttpRequest, actor: Actor, context: dict[str, Any], execution_id: UUID) -> HttpResponse:
    text = request.GET.get("after", "")
    after = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    found = conversation_page(execution_id=execution_id, symbol=request.GET.get("symbol"), after=after)
    context |= {
        "section": "runs",
        "panels": "agents/conversation_panels.html",
        "here": request.get_full_path(),
        **found,
    }
    return answer(request, "agents/conversation", context)


@require_safe
@page
def agent_list(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    context |= {"section": "agents", "panels": "agents/list_panels.html", **agents_page()}
    return answer(request, "agents/list", context)
