from django.apps import AppConfig


class TimedStepsConfig(AppConfig):
    name = "timed_steps"
