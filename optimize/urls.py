"""The addresses of the pages."""

from django.urls import path

from optimize import views

urlpatterns = [
    path("adaptation/", views.adaptation_list, name="adaptation-list"),
    path("adaptation/<uuid:adaptation_id>/", views.adaptation, name="adaptation"),
    path("adaptation/<uuid:adaptation_id>/run/", views.adaptation_run, name="adaptation-run"),
    path("adaptation/<uuid:adaptation_id>/stop/", views.adaptation_stop, name="adaptation-stop"),
    *(
        path(
            f"adaptation/<uuid:adaptation_id>/events/<int:number>/{decision}/",
            views.adaptation_decide,
            {"decision": decision},
            name=f"adaptation-{decision}",
        )
        for decision in ("approve", "reject", "rollback")
    ),
]
