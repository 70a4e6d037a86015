"""`manage.py create_api_key`: a key for a program."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tradingsite.common.access.services import api_key_create
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role


class Command(BaseCommand):
    help = "Make an API key for a user and print it once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="In whose name the key acts.")
        parser.add_argument("--role", required=True, choices=[role.slug for role in Role])
        parser.add_argument("--name", required=True, help="What the key is for.")
        parser.add_argument("--expires-days", type=int, help="Days until it ends; without, it ends when revoked.")

    def handle(self, *, user: str, role: str, name: str, expires_days: int | None, **options: Any) -> None:
        owner = get_user_model().objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user {user!r}.")
        try:
            expires_at = None if expires_days is None else utcnow() + timedelta(days=expires_days)
            key, secret = api_key_create(
                actor=Actor.system("create_api_key"),
                user=owner,
                name=name,
                role=Role.from_slug(role),
                expires_at=expires_at,
            )
        except (AppError, OverflowError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{secret}\n")
        self.stderr.write(f"Key {key.prefix} ({role}) of {user}; it is shown only now.")
