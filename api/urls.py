"""Addresses of the API: whatever is not there is a problem, no page."""

from django.urls import include, path

from api import frame, views
from api.v1 import api

app_name = "api"

urlpatterns = [
    path("docs/", views.docs, name="docs"),
    path("v1/", include((frame.patterns(api.urls[0]), "v1"), namespace="v1")),
    path("<path:rest>", frame.nothing),
]
