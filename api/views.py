"""The page that explains the API."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import tokens
from api import reference


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    context = {
        "introduction": reference.introduction(),
        "groups": reference.groups(),
        "scopes": list(tokens.SCOPES.items()),
        "site_url": settings.SITE_URL,
    }
    return render(request, "api/docs.html", context)
