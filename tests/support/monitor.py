"""A monitor that may read the sentences of /readyz."""

from typing import Any

from django.test import Client, override_settings

TOKEN = "of-those-who-may-read-the-sentences"


def readyz(client: Client, query: str = "", *, token: str = TOKEN) -> Any:
    with override_settings(METRICS_TOKEN=TOKEN):
        return client.get(f"/readyz{query}", headers={"Authorization": f"Bearer {token}"})
