"""Settings of the test suite: the product's own, fed by an environment that needs nothing from outside."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "COUNTERSIGN_STATE_DIR" not in os.environ:
    os.environ["COUNTERSIGN_STATE_DIR"] = tempfile.mkdtemp(prefix="countersign-tests-")
    atexit.register(shutil.rmtree, os.environ["COUNTERSIGN_STATE_DIR"], ignore_errors=True)
_state = Path(os.environ["COUNTERSIGN_STATE_DIR"])
(_state / "static").mkdir(parents=True, exist_ok=True)
os.environ.setdefault("COUNTERSIGN_SECRET_KEY", "tests-" * 8)
os.environ.setdefault("COUNTERSIGN_LOG_LEVEL", "WARNING")
# Tests click faster than people, as persons whose numbers come again; those of the limit set it.
os.environ.setdefault("COUNTERSIGN_CHANGES_PER_MINUTE", "1000000")
os.environ.setdefault("EMAIL_URL", "memorymail://")
# People sign in with a password alone; tests of the second factor set it.
os.environ.setdefault("COUNTERSIGN_MFA_REQUIRED_FOR", "none")
# What is approved is due at once; tests of the time to undo set it.
os.environ.setdefault("COUNTERSIGN_UNDO_SECONDS", "0")
# A port that nobody listens on: tests that need MLflow or a broker start their own.
os.environ.setdefault("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

from registry_ui.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, not memory: the concurrency tests use it from several threads and processes.
    DATABASES["default"]["TEST"] = {"NAME": str(_state / "tests.sqlite3")}  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS = {}
SECURE_SSL_REDIRECT = False
