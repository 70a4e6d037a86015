"""The addresses of the pages."""

from django.urls import path

from agents import views

urlpatterns = [
    path("agents/", views.agent_list, name="agent-list"),
    path("runs/<uuid:execution_id>/conversation/", views.run_conversation, name="run-conversation"),
]
