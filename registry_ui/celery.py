"""The Celery application: worker and beat run it, the web process only sends hints through it."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from registry_ui.lanes import LaneTask

TRANSPORT_ALIASES["filesystem"] = "registry_ui.folder_broker:Transport"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_ui.settings")

app = Celery("countersign", task_cls=LaneTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["approvals", "accounts", "mirror"])
