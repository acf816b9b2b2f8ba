"""Row: the digest of a version's files, through a real server, against `sha256sum` over the same files fetched the same
way."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row, milliseconds, percent
from registry_ui.mirror import inspection, sync
from registry_ui.mirror.mlflow_registry import MlflowRegistry
from registry_ui.mirror.models import ModelVersion
from tests.mirror.backstage import Backstage

FILES, MEGABYTES, RUNS = 12, 20, 5


def rows(url: str, folder: Path) -> Iterator[Row]:
    engineer, registry = Backstage(url), MlflowRegistry(url, timeout_seconds=60)
    block = bytes(range(256)) * 4096
    files = {f"weights-{number:02}.bin": block * MEGABYTES for number in range(FILES)}
    run_id = engineer.log_run({"auc_roc": 0.9})
    engineer.create_version("bench_files", run_id=run_id, files=files)
    sync.refresh_model(registry, "bench_files")
    version = ModelVersion.objects.select_related("model").get(model__name="bench_files")
    root = registry.version_root("bench_files", 1)

    def fetch_and_sum() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            for file in registry.artifacts(root):
                with (Path(place) / file.path).open("wb") as out:
                    for chunk in registry.read_artifact(root, file.path):
                        out.write(chunk)
            subprocess.run(["sha256sum", *sorted(map(str, Path(place).iterdir()))], check=True, capture_output=True)

    def ours() -> None:
        found = inspection.hash_files(registry, version, files_limit_bytes=None, seconds=600)
        if found["count"] != FILES:
            raise RuntimeError("Not every file was hashed.")

    ours()  # warm
    measured = [(milliseconds(ours), milliseconds(fetch_and_sum)) for _ in range(RUNS)]
    yield Row(
        f"digest of {FILES} files of {MEGABYTES} MiB",
        percent([each for each, _ in measured], 0.5),
        percent([limit for _, limit in measured], 0.5),
        bar=1.25,
        note="Held against fetching the same files one after another and sha256sum over them.",
    )
