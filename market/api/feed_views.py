"""News and fundamentals over HTTP: lists, and files to import."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.core.files.uploadedfile import UploadedFile
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from market import feed_selectors, services
from market.api.feed_serializers import (
    FeedFileSerializer,
    FeedImportSerializer,
    FundamentalSerializer,
    NewsItemSerializer,
)
from market.api.filters import FundamentalFilterSet, NewsFilterSet
from market.models import FeedImport, Fundamental, NewsItem
from tradingsite.common.api.filters import filtered
from tradingsite.common.api.pagination import KeysetPagination
from tradingsite.common.api.serializers import field_errors
from tradingsite.common.api.views import ResourceViewSet
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.roles import Role


class _FeedViewSet(ResourceViewSet):
    roles: ClassVar = {"list": Role.VIEWER, "create": Role.TRADER}
    pagination_class = KeysetPagination
    parser_classes = (MultiPartParser,)

    def _imported(self, request: Request, bring_in: Callable[..., FeedImport]) -> Response:
        serializer = FeedFileSerializer(data=request.data)
        if not serializer.is_valid():
            raise ValidationFailed(errors=field_errors(serializer.errors))
        upload = cast("UploadedFile[bytes]", serializer.validated_data["file"])
        done = bring_in(actor=self.actor, file=upload.file, filename=upload.name or "")
        return Response(FeedImportSerializer(done).data, status=201)


class NewsViewSet(_FeedViewSet):
    """News about instruments."""

    queryset = NewsItem.objects.none()
    serializer_class = NewsItemSerializer
    filterset_class = NewsFilterSet

    @extend_schema(responses=NewsItemSerializer(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        """List news, the newest first."""
        page = self.paginate_queryset(filtered(NewsFilterSet, request, feed_selectors.news()))
        return self.get_paginated_response(NewsItemSerializer(page, many=True).data)

    @extend_schema(request={"multipart/form-data": FeedFileSerializer}, responses={201: FeedImportSerializer})
    def create(self, request: Request, **_: Any) -> Response:
        """Import a file of news, all of it or nothing; what is there changes nothing."""
        return self._imported(request, services.news_import)


class FundamentalViewSet(_FeedViewSet):
    """Reported figures of companies."""

    queryset = Fundamental.objects.none()
    serializer_class = FundamentalSerializer
    filterset_class = FundamentalFilterSet

    @extend_schema(responses=FundamentalSerializer(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        """List reported figures, the latest published first."""
        page = self.paginate_queryset(filtered(FundamentalFilterSet, request, feed_selectors.fundamentals()))
        return self.get_paginated_response(FundamentalSerializer(page, many=True).data)

    @extend_schema(request={"multipart/form-data": FeedFileSerializer}, responses={201: FeedImportSerializer})
    def create(self, request: Request, **_: Any) -> Response:
        """Import a file of reported figures, all of it or nothing; what is there changes nothing."""
        return self._imported(request, services.fundamentals_import)
