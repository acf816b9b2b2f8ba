"""The settings under which the benchmark runs: of its own, whatever the machine's are."""

import os
import sys
import tempfile
from pathlib import Path


def set_up(
    *, database: str, folder: Path | None = None, mlflow: str = "http://127.0.0.1:9", broker: str = "filesystem://"
) -> None:
    """Before the first import of the product; then starts Django. `database` is a URL, `folder` for what is written
    beside it."""
    folder = folder or Path(tempfile.mkdtemp(prefix="countersign-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= variables(database=database, folder=folder, mlflow=mlflow, broker=broker)
    import django

    django.setup()


def variables(*, database: str, folder: Path, mlflow: str, broker: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "registry_ui.settings",
        "COUNTERSIGN_SECRET_KEY": "bench-" * 8,
        "COUNTERSIGN_STATE_DIR": str(folder),
        "COUNTERSIGN_LOG_LEVEL": "ERROR",
        "COUNTERSIGN_MFA_REQUIRED_FOR": "none",
        "COUNTERSIGN_UNDO_SECONDS": "0",  # it measures deliveries, not the wait before them
        "MLFLOW_TRACKING_URI": mlflow,
        "CELERY_BROKER_URL": broker,
        "DATABASE_URL": database,
        "EMAIL_URL": "memorymail://",
    }


def main() -> None:
    """Migrates the database whose URL is given; collects the static files where that is not done yet."""
    set_up(database=sys.argv[1])
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", verbosity=0, interactive=False)


if __name__ == "__main__":
    main()
