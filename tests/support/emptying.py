"""Emptying the database after a test that commits, by touching only what the test has filled.

Django's own way truncates every table and makes all content types and permissions anew, which takes longer than most
tests. Of well over a hundred tables a test fills a few.
"""

import functools
from collections.abc import Iterator

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

from safety.models import KillSwitch, SafetySettings
from tradingsite.common.roles import Role

# Made by the migrations from the models alone; no test changes them.
_KEPT = frozenset({ContentType._meta.db_table, Permission._meta.db_table})


def install() -> None:
    """Have every test that commits leave by this way."""
    TransactionTestCase._fixture_teardown = _teardown


def _teardown(case: TransactionTestCase) -> None:
    for name in case._databases_names(include_mirrors=False):
        empty(connections[name])
        first_rows()


def first_rows() -> None:
    """Write what the migrations write into an empty desk and the site does not do without."""
    SafetySettings.objects.get_or_create(id=1)
    KillSwitch.objects.get_or_create(scope="all")
    for role in Role:
        Group.objects.get_or_create(name=role.slug)


def empty(connection: BaseDatabaseWrapper) -> None:
    """Delete every row but those of content types and permissions.

    The foreign keys are all checked at the end, when there is nothing left that could break one.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A thread that still writes is waited for, as TRUNCATE would; its rows would turn up in the next test.
            cursor.execute(f"LOCK TABLE {', '.join(_quoted(connection))} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_filled_query(connection))
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")


@functools.cache
def _filled_query(connection: BaseDatabaseWrapper) -> str:
    parts = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in _quoted(connection))
    return " UNION ALL ".join(parts)


def _quoted(connection: BaseDatabaseWrapper) -> Iterator[str]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy and model._meta.db_table not in _KEPT:
            yield connection.ops.quote_name(model._meta.db_table)
