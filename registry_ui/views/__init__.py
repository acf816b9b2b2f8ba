"""Pages of the read side: overview, models, versions, search, the state of the system, a person's preferences."""

from registry_ui.views.comparing import compare
from registry_ui.views.first_day import first_day
from registry_ui.views.overview import home, overview, overview_csv, overview_json
from registry_ui.views.registry import model, models
from registry_ui.views.saved_views import saved_views
from registry_ui.views.searching import jump, search
from registry_ui.views.service import preferences, system
from registry_ui.views.versions import version

__all__ = [
    "compare",
    "first_day",
    "home",
    "jump",
    "model",
    "models",
    "overview",
    "overview_csv",
    "overview_json",
    "preferences",
    "saved_views",
    "search",
    "system",
    "version",
]
