"""Where files may be read from, and what a server or a file that means harm can do: nothing."""

import contextlib
import gzip
import math
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mirror.mlflow import artifacts
from mirror.mlflow.client import MlflowRegistry
from mirror.port import ArtifactFile, NotFound, Refused, Registry, Unreachable, read_whole, served_path
from tests.support.backstage import Backstage
from tests.support.fakes import FakeRegistry

SERVED = "mlflow-artifacts:/0/run/artifacts"


@pytest.fixture
def registry() -> MlflowRegistry:
    return MlflowRegistry("http://127.0.0.1:9", timeout_seconds=1)


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Path:
    """A folder with a model that the worker may read, beside one that it may not."""
    for name in ("store", "store-secret"):
        (tmp_path / name / "run" / "data").mkdir(parents=True)
        (tmp_path / name / "run" / "MLmodel").write_text(name)
        (tmp_path / name / "run" / "data" / "a b.bin").write_bytes(b"12345")
    settings.ARTIFACT_STORES = [str(tmp_path / "store")]
    return tmp_path / "store"


# --- Stores that MLflow does not serve


@pytest.mark.parametrize("spelled", ["{}", "{}/", "file://{}", "file:{}"])
def test_a_named_folder_is_read_in_place(registry: MlflowRegistry, store: Path, spelled: str) -> None:
    root = spelled.format(store / "run")
    assert list(registry.artifacts(root)) == [ArtifactFile("MLmodel", 5), ArtifactFile("data/a b.bin", 5)]
    assert b"".join(registry.read_artifact(root, "data/a b.bin")) == b"12345"
    with pytest.raises(NotFound):
        list(registry.read_artifact(root, "gone.bin"))


def test_a_folder_that_is_not_there_has_no_files(registry: MlflowRegistry, store: Path) -> None:
    assert list(registry.artifacts(str(store / "nowhere"))) == []


@pytest.mark.parametrize(
    "root",
    [
        "/etc",
        "file:///etc",
        "FILE:///etc",
        "{}-secret/run",
        "{}/../store-secret/run",
        "file://{}/%2e%2e/store-secret/run",
        "{}/..",
        "http://169.254.169.254/latest",
        "s3://bucket/model",
        "runs:/0123/model",
        "models:/churn/1",
        "",
    ],
)
def test_any_other_address_is_refused_and_says_why(registry: MlflowRegistry, store: Path, root: str) -> None:
    for read in (
        lambda: list(registry.artifacts(root.format(store))),
        lambda: list(registry.read_artifact(root.format(store), "MLmodel")),
    ):
        with pytest.raises(Refused, match="COUNTERSIGN_ARTIFACT_STORES"):
            read()


def test_links_do_not_lead_out_of_the_folder(registry: MlflowRegistry, store: Path) -> None:
    root, secret = store / "run", store.parent / "store-secret" / "run"
    (root / "link.bin").symlink_to(secret / "MLmodel")
    (root / "dangling.bin").symlink_to(root / "nothing")
    listed = {file.path for file in registry.artifacts(str(root))}
    assert listed == {"MLmodel", "data/a b.bin", "link.bin", "dangling.bin"}
    with pytest.raises(Refused, match="leads out of its folder"):
        list(registry.read_artifact(str(root), "link.bin"))
    with pytest.raises(NotFound):
        list(registry.read_artifact(str(root), "dangling.bin"))
    (root / "folder").symlink_to(secret)
    with pytest.raises(Refused, match="leads out of its folder"):
        list(registry.artifacts(str(root)))


def test_a_folder_within_itself_ends(registry: MlflowRegistry, store: Path) -> None:
    (store / "run" / "again").symlink_to(store / "run")
    with pytest.raises(Refused, match=r"more than 32 .*deep"):
        list(registry.artifacts(str(store / "run")))


def test_more_folders_than_anyone_has_end(
    registry: MlflowRegistry, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty ones: no file is ever handed on, so that nobody could look at the clock."""
    for number in range(4):
        (store / "run" / f"folder-{number}" / "below").mkdir(parents=True)
    monkeypatch.setattr(artifacts, "MOST_FOLDERS", 10)
    assert len(list(registry.artifacts(str(store / "run")))) == 2
    (store / "run" / "one more").mkdir()
    with pytest.raises(Refused, match="more than 10 folders"):
        list(registry.artifacts(str(store / "run")))


def test_a_name_that_is_no_text_is_refused(registry: MlflowRegistry, store: Path) -> None:
    """No manifest could say it, and no database could keep it."""
    (store / "run" / os.fsdecode(b"caf\xe9.bin")).write_bytes(b"x")
    with pytest.raises(Refused, match="is not text"):
        list(registry.artifacts(str(store / "run")))


def test_another_store_is_read_through_mlflows_client(
    registry: MlflowRegistry, store: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    settings.ARTIFACT_STORES = ["s3://bucket/models"]
    asked: list[str] = []

    def repository(address: str) -> LocalArtifactRepository:
        asked.append(address)
        return LocalArtifactRepository((store / "run").as_uri())

    monkeypatch.setattr(artifacts, "_repository", repository)
    root = "s3://bucket/models/7"
    assert list(registry.artifacts(root)) == [ArtifactFile("MLmodel", 5), ArtifactFile("data/a b.bin", 5)]
    assert b"".join(registry.read_artifact(root, "data/a b.bin")) == b"12345"
    assert set(asked) == {root}


def test_what_a_killed_worker_left_of_a_file_goes_and_what_another_is_at_stays(
    registry: MlflowRegistry, store: Path, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    settings.ARTIFACT_STORES = ["s3://bucket"]
    monkeypatch.setattr(artifacts, "_repository", lambda _: LocalArtifactRepository((store / "run").as_uri()))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, days in (("countersign-file-old", 2), ("countersign-file-new", 0), ("countersign-other", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(b"12")
        os.utime(tmp_path / name, (time.time() - days * 86_400,) * 2)
    reading = registry.read_artifact("s3://bucket/7", "MLmodel")
    assert next(reading) == b"store"
    there = {path.name for path in tmp_path.glob("countersign-*")}
    assert {"countersign-file-new", "countersign-other"} < there
    assert "countersign-file-old" not in there
    assert len(there) == 3, "and that of the file itself, until it is read"
    assert list(reading) == []
    assert {path.name for path in tmp_path.glob("countersign-*")} == {"countersign-file-new", "countersign-other"}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ModuleNotFoundError("No module named 'boto3'"), Refused, "lacks a library for the artifact store s3://bucket"),
        (RuntimeError("slow down\nmuch more"), Unreachable, "s3://bucket did not answer: slow down$"),
    ],
)
def test_trouble_of_a_stores_library_is_told(
    registry: MlflowRegistry,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    words: str,
) -> None:
    settings.ARTIFACT_STORES = ["s3://bucket"]

    def broken(_: str) -> None:
        raise error

    monkeypatch.setattr(artifacts, "_repository", broken)
    for read in (
        lambda: list(registry.artifacts("s3://bucket")),
        lambda: list(registry.read_artifact("s3://bucket", "x")),
    ):
        with pytest.raises(kind, match=words):
            read()


def test_an_address_that_climbs_out_of_mlflows_own_store_is_refused(registry: MlflowRegistry) -> None:
    with pytest.raises(Refused, match="leads out"):
        list(registry.read_artifact("mlflow-artifacts:/0/../../x", "MLmodel"))


# --- A server that misbehaves in the middle of a file


class Raw:
    """Answers every connection with what `speak` writes to its socket."""

    def __init__(self, speak: Callable[[socket.socket], None]) -> None:
        self.speak, self.listener = speak, socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.answer, args=(self.listener.accept()[0],), daemon=True).start()

    def answer(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            link.recv(65536)
            self.speak(link)

    def registry(self, timeout: float = 5) -> MlflowRegistry:
        return MlflowRegistry(f"http://127.0.0.1:{self.listener.getsockname()[1]}", timeout_seconds=timeout)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Raw]]:
    made: list[Raw] = []

    def start(speak: Callable[[socket.socket], None]) -> Raw:
        made.append(Raw(speak))
        return made[-1]

    yield start
    for each in made:
        each.listener.close()


Serve = Callable[[Callable[[socket.socket], None]], Raw]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345",
    ],
    ids=["length", "chunks", "half a chunk", "not gzip"],
)
def test_a_file_that_breaks_off_is_never_taken_for_whole(serve: Serve, answer: bytes) -> None:
    registry = serve(lambda link: link.sendall(answer)).registry()
    with pytest.raises(Unreachable):
        list(registry.read_artifact(SERVED, "weights.bin"))


@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_whole_file_is_whole_however_it_is_sent(serve: Serve, is_zipped: bool) -> None:
    content = bytes(range(256)) * 8192
    body = gzip.compress(content) if is_zipped else content
    head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Encoding: gzip\r\n" if is_zipped else b"")

    def by_length(link: socket.socket) -> None:
        link.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def by_chunks(link: socket.socket) -> None:
        link.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 70_000):
            piece = body[start : start + 70_000]
            link.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        link.sendall(b"0\r\n\r\n")

    for speak in (by_length, by_chunks):
        assert b"".join(serve(speak).registry().read_artifact(SERVED, "weights.bin")) == content


def test_a_file_that_stops_coming_is_given_up(serve: Serve) -> None:
    def stall(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        time.sleep(5)

    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not answer within 0\.3 seconds"):
        list(serve(stall).registry(timeout=0.3).read_artifact(SERVED, "weights.bin"))
    assert time.monotonic() - started < 3


def test_a_file_that_drips_is_handed_on_drop_by_drop(serve: Serve) -> None:
    """So that whoever reads can look at the clock between two drops."""

    def drip(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            link.sendall(b"x")
            time.sleep(0.02)

    started = time.monotonic()
    with contextlib.closing(serve(drip).registry().read_artifact(SERVED, "weights.bin")) as chunks:  # type: ignore[type-var]
        first = [next(chunks) for _ in range(3)]
    assert all(len(each) < 20 for each in first)
    assert time.monotonic() - started < 5


def test_a_file_larger_than_its_listing_is_not_read_whole() -> None:
    fake = FakeRegistry()
    fake.files["fake:/x/1"] = {"MLmodel": b"x" * 5_000}
    assert read_whole(fake, "fake:/x/1", "MLmodel", largest=4_999) is None
    assert read_whole(fake, "fake:/x/1", "MLmodel", largest=5_000) == b"x" * 5_000


# --- Contract: fake and real server alike


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.server)])
def pair(request: pytest.FixtureRequest) -> tuple[Registry, Any]:
    if request.param == "fake":
        fake = FakeRegistry()
        return fake, fake
    url = request.getfixturevalue("mlflow_server").url
    return MlflowRegistry(url, timeout_seconds=15), Backstage(url)


def log_points(engineer: Any, run_id: str, key: str, points: list[tuple[int, float]]) -> None:
    if isinstance(engineer, FakeRegistry):
        engineer.histories.setdefault(run_id, {})[key] = points
        return
    for start in range(0, len(points), 500):
        listed = [
            {"key": key, "value": "NaN" if math.isnan(value) else value, "timestamp": 1, "step": step}
            for step, value in points[start : start + 500]
        ]
        engineer.call("POST", "runs/log-batch", run_id=run_id, metrics=listed)


def test_long_curves_are_thinned_out_from_first_to_last(pair: tuple[Registry, Any]) -> None:
    registry, engineer = pair
    run_id = engineer.log_run()
    log_points(engineer, run_id, "loss", [(step, 1 / (step + 1)) for step in range(1200)])
    found = registry.metric_history(run_id, "loss", limit=100)
    assert 90 <= len(found) <= 110
    assert (found[0], found[-1]) == ((0, 1.0), (1199, 1 / 1200))
    steps = [step for step, _ in found]
    assert max(after - before for before, after in pairwise(steps)) <= 30


def test_short_curves_come_whole_and_in_order(pair: tuple[Registry, Any]) -> None:
    registry, engineer = pair
    run_id = engineer.log_run({"auc_roc": 0.9})
    log_points(engineer, run_id, "loss", [(3, 0.25), (1, math.nan), (2, 0.5)])
    found = registry.metric_history(run_id, "loss", limit=100)
    assert [step for step, _ in found] == [1, 2, 3]
    assert math.isnan(found[0][1])
    assert [value for _, value in found[1:]] == [0.5, 0.25]
    assert list(registry.metric_history(run_id, "auc_roc", limit=100)) == [(0, 0.9)]
    assert registry.stepped_metrics(run_id) == ["loss"]


def test_what_was_never_logged_has_no_curve(pair: tuple[Registry, Any]) -> None:
    registry, engineer = pair
    run_id = engineer.log_run()
    assert list(registry.metric_history(run_id, "loss", limit=100)) == []
    assert list(registry.metric_history("0" * 32, "loss", limit=100)) == []
    with pytest.raises(NotFound):
        registry.stepped_metrics("0" * 32)


NAMES = [
    "100%",
    "a b.txt",
    "plus+and&.txt",
    "x;y=z.txt",
    "ü/模型.bin",
    "dot./.hidden",
    "'quoted'.txt",
    "deep/er/er/f",
    "question?.txt",
    "100%x.txt",
    "c:colon",
    "..hidden",
    "x" * 250,
    "/".join(["y" * 200] * 5),
    "empty",
]


def test_odd_file_names_are_listed_and_read(pair: tuple[Registry, Any]) -> None:
    registry, engineer = pair
    root = registry.run_root(engineer.log_run())
    for name in NAMES:
        content = b"" if name == "empty" else name.encode()
        if isinstance(engineer, FakeRegistry):
            engineer.files_of(root)[name] = content
        else:
            engineer.put_file(root, name, content)
    found = list(registry.artifacts(root))
    assert {file.path: file.size or 0 for file in found} == {  # MLflow leaves a zero out
        name: 0 if name == "empty" else len(name.encode()) for name in NAMES
    }
    for name in NAMES:
        assert b"".join(registry.read_artifact(root, name)) == (b"" if name == "empty" else name.encode())


def test_a_file_that_is_not_there_is_not_found(pair: tuple[Registry, Any]) -> None:
    registry, engineer = pair
    root = registry.run_root(engineer.log_run())
    assert list(registry.artifacts(root)) == []
    for path in ("gone.bin", "gone/gone.bin"):
        with pytest.raises(NotFound):
            list(registry.read_artifact(root, path))


@pytest.mark.server
@pytest.mark.nodb
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\\b.bin", "The artifact name 'a\\b.bin' has a backslash, which some stores take for a folder."),
        ("a#b.bin", "MLflow refuses the artifact name 'a#b.bin': Invalid path."),
        ("a%20b.bin", "The artifact name 'a%20b.bin' has an escape in it, for which MLflow gives another file."),
        (
            "two\nlines.bin",
            "The artifact name 'two\\nlines.bin' has a control character, for which MLflow gives another file.",
        ),
        (
            "tab\tbed.bin",
            "The artifact name 'tab\\tbed.bin' has a control character, for which MLflow gives another file.",
        ),
        ("%2e%2e", "The artifact name '%2e%2e' has an escape in it, for which MLflow gives another file."),
    ],
)
def test_name_that_cannot_be_read_is_named_with_the_true_reason(mlflow_server: Any, name: str, reason: str) -> None:
    """Written into the store by another way than MLflow's API."""
    registry, engineer = MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url)
    root = registry.run_root(engineer.log_run())
    place = mlflow_server.folder / "artifacts" / served_path(root)
    place.mkdir(parents=True)
    (place / "a b.bin").write_bytes(b"another file")
    (place / name).write_bytes(b"x")

    def read_all() -> None:
        for file in registry.artifacts(root):
            list(registry.read_artifact(root, file.path))

    with pytest.raises(Refused) as caught:
        read_all()
    assert caught.value.message == reason


@pytest.mark.server
@pytest.mark.nodb
def test_folder_that_cannot_be_listed_is_named(mlflow_server: Any) -> None:
    registry, engineer = MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url)
    root = registry.run_root(engineer.log_run())
    (mlflow_server.folder / "artifacts" / served_path(root) / "a#b").mkdir(parents=True)
    with pytest.raises(Refused, match="MLflow refuses the artifact name 'a#b': Invalid path"):
        list(registry.artifacts(root))


@pytest.mark.parametrize(
    ("root", "named"),
    [
        ("/var/models/1", "file:///var/models/1"),
        ("file:///var/models/1", "file:///var/models/1"),
        ("s3://user:secret@bucket/a/b?token=secret", "s3://bucket/a/b"),
    ],
)
def test_refused_store_is_named_with_its_path_and_without_secrets(
    registry: MlflowRegistry, root: str, named: str
) -> None:
    with pytest.raises(Refused) as caught:
        list(registry.artifacts(root))
    assert f"The files are in {named}, which is not among" in caught.value.message


@pytest.mark.server
@pytest.mark.nodb
def test_a_logged_models_files_are_found_through_its_version(mlflow_server: Any) -> None:
    registry, engineer = MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url)
    logged_model_id = engineer.log_model()
    info = engineer.call("GET", f"logged-models/{logged_model_id}")["model"]["info"]
    engineer.put_file(info["artifact_uri"], "MLmodel", b"flavors: {}")
    engineer.create_version("logged_churn", logged_model_id=logged_model_id)
    root = registry.version_root("logged_churn", 1)
    assert list(registry.artifacts(root)) == [ArtifactFile("MLmodel", 11)]


@pytest.mark.server
@pytest.mark.nodb
def test_connections_are_kept_between_files(mlflow_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, engineer = MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url)
    root = registry.run_root(engineer.log_run())
    for name in ("a", "b", "c"):
        engineer.put_file(root, name, name.encode() * 100_000)
    list(registry.read_artifact(root, "a"))
    opened: list[object] = []
    connect = socket.socket.connect

    def counting(link: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(link, address)

    monkeypatch.setattr(socket.socket, "connect", counting, raising=False)
    for name in ("a", "b", "c"):
        assert len(b"".join(registry.read_artifact(root, name))) == 100_000
    assert opened == []
