"""Addresses. The read side's here, the gate's in approvals.urls, sign-in's in django-allauth."""

from django.urls import include, path, register_converter

from accounts.views import from_provider, open_sessions, prove_at_provider, set_password, to_provider, welcome
from registry_ui import converters, health, views
from registry_ui.metrics import endpoint

register_converter(converters.ModelName, "model")

handler429 = "registry_ui.views.failures.too_many_requests"  # django-allauth asks for it
handler500 = "registry_ui.views.failures.server_error"
urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", endpoint.metrics, name="metrics"),
    path("accounts/oidc/<slug:provider_id>/login/", to_provider),
    path("accounts/oidc/<slug:provider_id>/login/callback/", from_provider),
    path("accounts/reauthenticate/provider/", prove_at_provider, name="reauthenticate_at_provider"),
    path("accounts/password/set/", set_password),
    path("accounts/sessions/", open_sessions, name="usersessions_list"),
    path("accounts/", include("allauth.urls")),
    path("welcome/", welcome, name="welcome"),
    path("home/", views.home, name="home"),
    path("overview/", views.overview, name="overview"),
    path("overview/overview.csv", views.overview_csv, name="overview_csv"),
    path("overview/overview.json", views.overview_json, name="overview_json"),
    path("overview/first-day/", views.first_day, name="first_day"),
    path("views/<slug:page>/", views.saved_views, name="saved_views"),
    path("api/", include("api.urls")),
    path("databricks/", include("api.databricks.urls")),
    path("", include("approvals.urls")),
    path("models/", views.models, name="models"),
    path("models/<model:name>/versions/<int:number>/", views.version, name="version"),
    path("models/<model:name>/compare/", views.compare, name="model_compare"),
    path("models/<model:name>/", views.model, name="model"),
    path("search/", views.search, name="search"),
    path("search/jump/", views.jump, name="jump"),
    path("system/", views.system, name="system"),
    path("preferences/", views.preferences, name="preferences"),
]
