from scheduler.api.views import JobTypesView, SchedulerViewSet
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("scheduler", SchedulerViewSet, "scheduler")

urlpatterns = [*router.urls, route("job-types", JobTypesView, "job-types")]
