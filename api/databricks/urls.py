"""Addresses of Databricks' API, below the host that clients are given. Old clients say `preview`."""

from django.urls import include, path
from django.views.decorators.http import require_safe

from api import frame
from api.databricks import errors, server

app_name = "databricks"

ME = ("api/2.0/preview/scim/v2/Me", "api/2.0/scim/v2/Me")
CALLS = frame.patterns(server.api.urls[0], errors.tell)
_me = frame.framed(require_safe(server.me), errors.tell)

urlpatterns = [
    path(".well-known/databricks-config", frame.framed(server.configuration, errors.tell)),
    *(path(each, _me) for each in ME),
    path("api/2.0/mlflow/", include(CALLS)),
    path("api/2.0/preview/mlflow/", include(CALLS)),
    path("<path:rest>", frame.framed(frame.refuse, errors.tell)),
]
