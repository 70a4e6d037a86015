"""Who may use which route: the least role, `anyone` without credentials, written by hand and reviewed.

The names are those of the API without `/api/v1`, and of pages with `PAGE` for whatever method. A role stands for itself
and for those above it. Whose things a trader may change is tested where the things are.
"""

TABLE: dict[str, str] = {
    # Without credentials
    "PAGE /health": "anyone",
    "PAGE /health/ready": "anyone",
    "GET /docs": "anyone",
    "GET /redoc": "anyone",
    "GET /api/schema": "anyone",
    "POST /auth/token": "anyone",
    "POST /auth/token/refresh": "anyone",
    "PAGE /docs/errors": "anyone",
    "PAGE /login/": "anyone",
    "PAGE /logout/": "anyone",
    # Access
    "GET /auth/me": "viewer",
    "POST /auth/ws-ticket": "viewer",
    "GET /auth/keys": "trader",
    "POST /auth/keys": "trader",
    "GET /auth/keys/{pk}": "trader",
    "DELETE /auth/keys/{pk}": "trader",
    # Market
    "GET /market/instruments": "viewer",
    "POST /market/instruments": "operator",
    "GET /market/instruments/{symbol}": "viewer",
    "PUT /market/instruments/{symbol}": "operator",
    "PATCH /market/instruments/{symbol}": "operator",
    "GET /market/imports": "viewer",
    "POST /market/imports": "trader",
    "GET /market/imports/{pk}": "viewer",
    "GET /market/bars": "viewer",
    "GET /market/sources": "viewer",
    "GET /market/indicators": "viewer",
    # Safety
    "GET /safety": "viewer",
    "POST /safety/kill": "operator",
    "POST /safety/resume": "operator",
    "GET /safety/limits": "viewer",
    "PUT /safety/limits": "admin",
    "PATCH /safety/limits": "admin",
    "GET /safety/decisions": "viewer",
    "GET /safety/history": "viewer",
    "GET /alerts/history": "viewer",
    "GET /alerts/history/{pk}": "viewer",
    "POST /alerts/history/{pk}/acknowledge": "operator",
    "GET /audit": "operator",
    # Portfolio
    "GET /portfolio": "viewer",
    "GET /portfolio/positions": "viewer",
    "GET /portfolio/equity": "viewer",
    "GET /portfolio/fills": "viewer",
    "GET /portfolio/orders": "viewer",
    "POST /portfolio/orders": "trader",
    "GET /portfolio/orders/{pk}": "viewer",
    "POST /portfolio/orders/{pk}/cancel": "trader",
    # Workflows
    "GET /workflows": "viewer",
    "POST /workflows": "trader",
    "GET /workflows/{id}": "viewer",
    "PUT /workflows/{id}": "trader",
    "DELETE /workflows/{id}": "trader",
    "POST /workflows/{id}/clone": "trader",
    "POST /workflows/{id}/restore": "trader",
    "GET /workflows/{id}/steps": "viewer",
    "GET /workflows/{id}/versions": "viewer",
    "GET /workflows/{id}/versions/{number}": "viewer",
    "GET /workflows/{id}/versions/{a}/diff/{b}": "viewer",
    "POST /workflows/{id}/versions/{number}/restore": "trader",
    "GET /strategies": "viewer",
    "POST /strategies": "trader",
    "GET /strategies/{id}": "viewer",
    "PUT /strategies/{id}": "trader",
    "PATCH /strategies/{id}": "trader",
    "DELETE /strategies/{id}": "trader",
    "POST /strategies/{id}/restore": "trader",
    "GET /step-types": "viewer",
    "GET /strategy-types": "viewer",
    "GET /workflow-templates": "viewer",
    # Runs, under both of their names
    "POST /workflows/{workflow_id}/execute": "trader",
    "POST /strategies/{strategy_id}/execute": "trader",
    "POST /workflows/execute-batch": "trader",
    **{
        f"{method} /{name}{path}": least
        for name in ("runs", "workflow-executions")
        for method, path, least in (
            ("GET", "", "viewer"),
            ("GET", "/{pk}", "viewer"),
            ("GET", "/{pk}/steps", "viewer"),
            ("GET", "/{pk}/events", "viewer"),
            ("POST", "/{pk}/cancel", "trader"),
            ("POST", "/{pk}/retry", "trader"),
        )
    },
    # Tasks
    "GET /tasks": "viewer",
    "GET /tasks/metrics": "viewer",
            ("GET", "/{pk}/steps/{index}/output", "viewer"),
    "GET /tasks/{task_id}": "viewer",
    "DELETE /tasks/{task_id}": "trader",
    # Pages
    "PAGE /": "viewer",
    "PAGE /runs/": "viewer",
    "PAGE /runs/{execution_id}/": "viewer",
    "PAGE /runs/{execution_id}/cancel/": "trader",
    "PAGE /runs/{execution_id}/retry/": "trader",
    "PAGE /safety/kill/": "operator",
    "PAGE /safety/resume/": "operator",
}
