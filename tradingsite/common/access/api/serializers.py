"""Shapes of credentials."""

from typing import ClassVar

from rest_framework import serializers

from tradingsite.common.access.models import ApiKey
from tradingsite.common.api.serializers import StrictModelSerializer, StrictSerializer, UtcDateTimeField
from tradingsite.common.roles import Role

ROLES = [role.slug for role in Role]


class TokenRequest(StrictSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class TokenPair(StrictSerializer):
    access = serializers.CharField()
    refresh = serializers.CharField()


class RefreshRequest(StrictSerializer):
    refresh = serializers.CharField(max_length=4096)


class AccessToken(StrictSerializer):
    access = serializers.CharField()


class ApiKeyCreate(StrictSerializer):
    name = serializers.CharField(max_length=100)
    role = serializers.ChoiceField(choices=ROLES)
    expires_at = UtcDateTimeField(required=False, allow_null=True, default=None)


class ApiKeyShown(StrictModelSerializer):
    created_at = UtcDateTimeField()
    expires_at = UtcDateTimeField(allow_null=True)
    last_used_at = UtcDateTimeField(allow_null=True)
    revoked_at = UtcDateTimeField(allow_null=True)

    class Meta:
        model = ApiKey
        fields: ClassVar = ["id", "name", "prefix", "role", "created_at", "expires_at", "last_used_at", "revoked_at"]


class ApiKeyCreated(ApiKeyShown):
    key = serializers.CharField(help_text="The key itself; it is shown only now.")

    class Meta(ApiKeyShown.Meta):
        fields: ClassVar = [*ApiKeyShown.Meta.fields, "key"]


class Ticket(StrictSerializer):
    ticket = serializers.CharField()
    expires_at = UtcDateTimeField()


class Me(StrictSerializer):
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["user", "api_key"])
    role = serializers.ChoiceField(choices=ROLES, allow_null=True)
