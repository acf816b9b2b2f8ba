"""Rows: the digest of a version's files through a real server, a few large files and many small ones.

The limit fetches the same files to disk with MLflow's own `http_request`, as many at a time, and runs `sha256sum` over
them. It does not go through Countersign's adapter, and both must come to the same hashes.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from bench.report import Row, medians
from mirror import inspection
from mirror.mlflow import artifacts
from mirror.mlflow.client import MlflowRegistry
from mirror.models import ModelVersion, RegisteredModel
from tests.support.backstage import Backstage

LOADS = ((20, 20_000_000), (500, 4_000))
"""How many files of how many bytes."""

ROUNDS = 5


def rows(url: str, folder: Path, *, loads: Sequence[tuple[int, int]] = LOADS, rounds: int = ROUNDS) -> Iterator[Row]:
    for count, size in loads:
        yield _row(url, folder, count, size, rounds=rounds)


def _row(url: str, folder: Path, count: int, size: int, *, rounds: int) -> Row:
    engineer, registry = Backstage(url), MlflowRegistry(url, timeout_seconds=60)
    noise = Random(count)
    name, paths = f"bench {count} files", [f"part-{number:04}.bin" for number in range(count)]
    files = {path: noise.randbytes(size) for path in paths}
    engineer.create_version(name, run_id=engineer.log_run(), files=files)
    files.clear()
    version = ModelVersion(model=RegisteredModel(name=name), number=1)
    root = registry.version_root(name, 1)
    addresses = {path: artifacts.served_address(root, path) for path in paths}
    seen: set[tuple[str, ...]] = set()

    def hash_files() -> None:
        found = inspection.hash_files(registry, version, files_limit_bytes=None, seconds=600)
        seen.add(tuple(digest for _, _, digest in found["manifest"]))

    def fetch_and_sum() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _fetch(url, addresses, Path(place))
            told = subprocess.run(["sha256sum", *paths], cwd=place, check=True, capture_output=True, text=True).stdout
        seen.add(tuple(line.split()[0] for line in told.splitlines()))

    measured, limit = medians(hash_files, fetch_and_sum, rounds=rounds)
    if len(seen) != 1 or len(min(seen)) != count:
        raise RuntimeError("The hashes are not those of sha256sum.")
    speed = f"{count * size / 1_000 / measured:,.0f} MB/s, {count * 1_000 / measured:,.0f} files/s"
    note = f"{speed}. Limit: the same files fetched to disk, {inspection.AT_ONCE} at a time, and sha256sum."
    return Row(f"digest of {count} files of {size / 1_000:,.0f} kB", measured, limit, bar=1.25, note=note)


def _fetch(url: str, addresses: dict[str, str], folder: Path) -> None:
    def fetch(path: str) -> None:
        answer = http_request(get_default_host_creds(url), addresses[path], "GET", stream=True)
        with answer, (folder / path).open("wb") as file:
            answer.raise_for_status()
            shutil.copyfileobj(answer.raw, file, artifacts.CHUNK)

    with ThreadPoolExecutor(inspection.AT_ONCE) as pool:
        list(pool.map(fetch, addresses))
