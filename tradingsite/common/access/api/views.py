"""Tokens, keys and socket tickets."""

from typing import Any, ClassVar

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import update_last_login
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from tradingsite.common.access.api import serializers as shapes
from tradingsite.common.access.models import ApiKey
from tradingsite.common.access.outage import claims_write
from tradingsite.common.access.services import api_key_create, api_key_revoke, ticket_issue
from tradingsite.common.api.pagination import PagePagination
from tradingsite.common.api.serializers import validated
from tradingsite.common.api.views import ApiView, ResourceViewSet
from tradingsite.common.errors import NotFound, Unauthenticated
from tradingsite.common.ids import parse_uuid
from tradingsite.common.roles import Role, role_of


class TokenView(ApiView):
    """Username and password for a pair of tokens."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(request=shapes.TokenRequest, responses=shapes.TokenPair, auth=[])
    def post(self, request: Request) -> Response:
        body = validated(shapes.TokenRequest, request.data)
        user = authenticate(request._request, username=body["username"], password=body["password"])
        if user is None:
            raise Unauthenticated("The username or the password is wrong.")
        update_last_login(type(user), user)
        refresh = RefreshToken.for_user(user)
        claims_write(refresh, user)
        return Response({"access": str(refresh.access_token), "refresh": str(refresh)})


class TokenRefreshView(ApiView):
    """A refresh token for a new access token."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(request=shapes.RefreshRequest, responses=shapes.AccessToken, auth=[])
    def post(self, request: Request) -> Response:
        body = validated(shapes.RefreshRequest, request.data)
        try:
            refresh = RefreshToken(body["refresh"])
        except TokenError:
            raise Unauthenticated("The refresh token is not valid or has expired; log in again.") from None
        user = get_user_model().objects.filter(pk=refresh.payload.get(api_settings.USER_ID_CLAIM, 0)).first()
        if user is None or not user.is_active:
            raise Unauthenticated("This user may not log in any more.")
        if refresh.payload.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
            # The access token would carry the old password's mark, and be refused at its first use.
            raise Unauthenticated("The password has changed since; log in again.")
        access = refresh.access_token
        # The role as it is now, not as it was a day ago.
        claims_write(access, user)
        return Response({"access": str(access)})


class MeView(ApiView):
    """Who the caller is to the desk."""

    roles: ClassVar = {"get": Role.VIEWER}

    @extend_schema(responses=shapes.Me)
    def get(self, request: Request) -> Response:
        role = self.actor.role
        return Response({"name": self.actor.name, "kind": self.actor.kind, "role": role and role.slug})


class TicketView(ApiView):
    """A single-use ticket for one socket."""

    roles: ClassVar = {"post": Role.VIEWER}

    @extend_schema(request=None, responses={201: shapes.Ticket})
    def post(self, request: Request) -> Response:
        ticket, expires_at = ticket_issue(actor=self.actor)
        body = shapes.Ticket({"ticket": ticket, "expires_at": expires_at}).data
        return Response(body, status=status.HTTP_201_CREATED)


class ApiKeyViewSet(ResourceViewSet):
    """The caller's keys; an admin sees those of all."""

    roles: ClassVar = {"list": Role.TRADER, "create": Role.TRADER, "retrieve": Role.TRADER, "destroy": Role.TRADER}
    serializer_class = shapes.ApiKeyShown
    pagination_class = PagePagination
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.order_by("-created_at", "-id")
        if role_of(self.request.user) == Role.ADMIN and self.actor.may(Role.ADMIN):
            return keys
        return keys.filter(created_by_id=self.actor.user_id)

    def get_object(self) -> ApiKey:
        key = self.get_queryset().filter(pk=parse_uuid(self.kwargs["pk"], "id")).first()
        if key is None:
            raise NotFound("You have no such key.")
        return key

    def list(self, request: Request, **_: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(shapes.ApiKeyShown(page, many=True).data)

    @extend_schema(request=shapes.ApiKeyCreate, responses={201: shapes.ApiKeyCreated})
    def create(self, request: Request, **_: Any) -> Response:
        body = validated(shapes.ApiKeyCreate, request.data)
        key, secret = api_key_create(
            actor=self.actor,
            user=request.user,
            name=body["name"],
            role=Role.from_slug(body["role"]),
            expires_at=body["expires_at"],
        )
        shown = {**shapes.ApiKeyShown(key).data, "key": secret}
        return Response(shown, status=status.HTTP_201_CREATED)

    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(shapes.ApiKeyShown(self.get_object()).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: Any) -> Response:
        api_key_revoke(actor=self.actor, key=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
