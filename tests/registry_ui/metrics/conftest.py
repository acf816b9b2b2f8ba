import pytest

from registry_ui.metrics import database

TOKEN = "only-prometheus-knows-this-one-0123456789"


@pytest.fixture(autouse=True)
def scraped_anew() -> None:
    database.kept.forget()


@pytest.fixture
def token(settings: object) -> str:
    settings.METRICS_TOKEN = TOKEN  # type: ignore[attr-defined]
    return TOKEN
