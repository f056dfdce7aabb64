"""The page itself: Horizon's own settings say where the store of metrics is."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from provision.adapters.metrics import Metrics
from provision.operations.dashboards import cloud_page


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Show the dashboard of the cloud, over the time that `span` names."""
    store = Metrics(settings.METRICS_URL, settings.METRICS_USER, settings.METRICS_PASSWORD, timeout=10)
    status, page = cloud_page(store, request.GET.get("span", ""), settings.WEBROOT)
    return HttpResponse(page, status=status, headers={"Cache-Control": "no-store"})
