"""Project package and read side of Countersign: settings, people, the mirror of the registry and the pages over it."""

from registry_ui.celery import app as celery_app

__all__ = ["celery_app"]
