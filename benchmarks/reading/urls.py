"""The site's routes, and the stock list of the same rows beside them."""

from django.urls import path

from benchmarks.reading.stock import StockRunViewSet, TunedStockRunViewSet
from tradingsite.urls import handler400, handler404, handler500, urlpatterns

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("stock/runs", StockRunViewSet.as_view({"get": "list"})),
    path("stock/tuned", TunedStockRunViewSet.as_view({"get": "list"})),
    *urlpatterns,
]
