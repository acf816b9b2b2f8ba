"""The Celery application: worker and beat run it, the web process only sends hints through it."""

import os
from typing import Any

from celery import Celery, signals
from kombu.transport import TRANSPORT_ALIASES

from registry_ui.lanes import LaneTask

TRANSPORT_ALIASES["filesystem"] = "registry_ui.folder_broker:Transport"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_ui.settings")


def _serve_metrics(**_: Any) -> None:
    from registry_ui.metrics import worker_port  # noqa: PLC0415 -- which needs Django, set up by now

    worker_port.start()


app = Celery("countersign", task_cls=LaneTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
signals.worker_ready.connect(_serve_metrics)
app.autodiscover_tasks(["approvals", "accounts", "mirror"])
