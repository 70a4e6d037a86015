"""The pages' addresses."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from executions.views import actions, pages

urlpatterns = [
    path("", pages.overview, name="overview"),
    path("runs/", pages.run_list, name="run-list"),
    path("runs/<uuid:execution_id>/", pages.run, name="run"),
    path("runs/<uuid:execution_id>/cancel/", actions.run_cancel, name="run-cancel"),
    path("runs/<uuid:execution_id>/retry/", actions.run_retry, name="run-retry"),
    path("goals/", pages.goal_list, name="goal-list"),
    path("goals/<uuid:goal_id>/", pages.goal, name="goal"),
    path("safety/kill/", actions.safety_kill, name="safety-kill"),
    path("safety/resume/", actions.safety_resume, name="safety-resume"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
