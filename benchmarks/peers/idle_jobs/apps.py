from django.apps import AppConfig


class IdleJobsConfig(AppConfig):
    name = "idle_jobs"

    def ready(self) -> None:
        from idle_jobs.kind import Nothing
        from optimize.work import kinds

        kinds.register(Nothing())
