from market.api.views import BarImportViewSet, BarsView, IndicatorsView, InstrumentViewSet, SourcesView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("market/instruments", InstrumentViewSet, "instrument")
router.register("market/imports", BarImportViewSet, "bar-import")

urlpatterns = [
    *router.urls,
    route("market/bars", BarsView, "bars"),
    route("market/sources", SourcesView, "sources"),
    route("market/indicators", IndicatorsView, "indicators"),
]
