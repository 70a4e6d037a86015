#!/usr/bin/env python
"""Django's command line for the trading desk."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError, ProgrammingError

    try:
        # Read here, since a command would show a setting that cannot work as a page of calls.
        settings.INSTALLED_APPS  # noqa: B018
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"The settings cannot work: {error}")
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(
            f"The database refuses: {str(error).strip()}\n"
            "Is its server up and its address (DATABASE_URL, or DATA_DIR for SQLite) right? A new database is prepared "
            "by `manage.py setup`. --traceback shows the calls."
        )


if __name__ == "__main__":
    main()
