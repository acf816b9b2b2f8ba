"""Project package and read side of Countersign: settings, people, the mirror of the registry and the pages over it."""

import gc

from registry_ui.celery import app as celery_app

COLLECTED_AFTER = (50_000, 20, 50)
"""Objects, and rounds, after which Python's collector looks for cycles: seldom, because it takes a tenth of the time of
a start and of a page to find nothing, and what it finds later is a few megabytes."""

gc.set_threshold(*COLLECTED_AFTER)

__all__ = ["COLLECTED_AFTER", "celery_app"]
