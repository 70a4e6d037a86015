from market.api.feed_views import FundamentalViewSet, NewsViewSet
from market.api.regimes import RegimesView
from market.api.views import BarImportViewSet, BarsView, IndicatorsView, InstrumentViewSet, SourcesView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("market/instruments", InstrumentViewSet, "instrument")
router.register("market/imports", BarImportViewSet, "bar-import")
router.register("market/news", NewsViewSet, "news")
router.register("market/fundamentals", FundamentalViewSet, "fundamental")

urlpatterns = [
    *router.urls,
    route("market/bars", BarsView, "bars"),
    route("market/regimes", RegimesView, "regimes"),
    route("market/sources", SourcesView, "sources"),
    route("market/indicators", IndicatorsView, "indicators"),
]
