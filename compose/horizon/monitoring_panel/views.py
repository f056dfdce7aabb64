"""The page itself: Horizon's own settings say where the store of metrics is."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from provision.operations.horizon_page import horizon_page


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Show the dashboard of the cloud, over the time that `span` names."""
    account = settings.METRICS_URL, settings.METRICS_USER, settings.METRICS_PASSWORD
    status, page = horizon_page(*account, request.GET.get("span", ""), settings.WEBROOT)
    return HttpResponse(page, status=status, headers={"Cache-Control": "no-store"})
