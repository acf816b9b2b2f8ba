"""Project package and read side of Countersign: settings, people, the mirror of the registry and the pages over it."""

import gc

from registry_ui.celery import app as celery_app

COLLECTED_AFTER = (20_000, 20, 50)
"""Objects, and rounds, after which Python's collector looks for cycles: seldom, because to find nothing it takes a tenth
of a start and a twentieth of a page; three megabytes more lie about for it in a web process."""

gc.set_threshold(*COLLECTED_AFTER)

__all__ = ["COLLECTED_AFTER", "celery_app"]
