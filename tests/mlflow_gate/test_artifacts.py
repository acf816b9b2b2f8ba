import asyncio
import inspect
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repo, artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow_gate import artifacts, attacks, store
from mlflow_gate.once import Once
from mlflow_gate.policy import UNKNOWN, Policy, parse
from mlflow_gate.settings import Settings

from tests.support.gate import policy_text
from tests.support.mlflow_server import GATE

SEALED = "1/models/m-7e81/artifacts"
WITH_THE_GATE = os.environ | {"PYTHONPATH": str(GATE)}


class Bucket:
    """What MLflow's S3 repository asks of boto3's client."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []

    def upload_file(self, **given: Any) -> None:
        self.objects[given["Key"]] = Path(given["Filename"]).read_bytes()

    def create_multipart_upload(self, **given: Any) -> dict[str, str]:
        self.uploads.append(given["Key"])
        return {"UploadId": given["Key"]}

    def complete_multipart_upload(self, **given: Any) -> None:
        self.objects[given["Key"]] = b"in parts"

    def abort_multipart_upload(self, **given: Any) -> None:
        self.uploads.remove(given["Key"])

    def generate_presigned_url(self, operation: str, **given: Any) -> str:
        return f"https://bucket/{given['Params']['Key']}?signed={operation}"

    def get_paginator(self, _: str) -> Any:
        def paginate(**given: Any) -> list[dict[str, Any]]:
            keys = [key for key in self.objects if key.startswith(given["Prefix"])]
            return [{"Contents": [{"Key": key, "Size": 3} for key in keys]}]

        return SimpleNamespace(paginate=paginate)

    def delete_objects(self, **given: Any) -> None:
        for each in given["Delete"]["Objects"]:
            del self.objects[each["Key"]]


class World:
    """A sealed repository, what is in its storage, and what Countersign was told."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policy: Policy = parse(policy_text(), "mlflow")
        self.told: list[dict[str, Any]] = []
        self.gate = store.Gate(settings, lambda: self.policy, self.told.append, Once(settings.used))


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(settings)
    monkeypatch.setattr(store, "gate", lambda: made.gate)
    return made


@pytest.fixture
def local(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    root = tmp_path / "files"
    (root / SEALED).mkdir(parents=True)
    (root / SEALED / "model.pkl").write_bytes(b"approved")
    (root / "1/models/m-0000/artifacts").mkdir(parents=True)
    monkeypatch.setenv(artifacts.DESTINATION, f"countersign:{root.as_uri()}")
    return artifacts_of(f"countersign:{root.as_uri()}")


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.objects = {f"root/{SEALED}/model.pkl": b"approved", "root/1/models/m-0000/x": b"x"}
    return made


@pytest.fixture
def s3(world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(S3ArtifactRepository, "_get_s3_client", lambda _: bucket)
    monkeypatch.setenv(artifacts.DESTINATION, "countersign:s3://bucket/root")
    return artifacts_of("countersign:s3://bucket/root")


def artifacts_of(uri: str) -> Any:
    return artifacts.build(uri, tracking_uri="http://mlflow", registry_uri=None)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(MlflowException) as caught:
        call()
    assert caught.value.error_code == "PERMISSION_DENIED", caught.value
    return str(caught.value.message)


async def chunks() -> AsyncIterator[bytes]:
    yield b"other"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "upload" / "model.pkl"
    path.parent.mkdir()
    path.write_bytes(b"other")
    return path


# --- The census


def of_mlflow() -> list[type]:
    return [
        each
        for _, each in inspect.getmembers(artifact_repo, inspect.isclass)
        if "Artifact" in each.__name__ or "Mixin" in each.__name__
    ]


def test_somebody_looked_at_each_method_of_mlflows_repositories() -> None:
    named = {name for each in of_mlflow() if each.__module__ == artifact_repo.__name__ for name in vars(each)}
    public = {name for name in named if not name.startswith("_")}
    assert public == {*artifacts.WRITES, *artifacts.DELETES, *artifacts.READS}
    assert not {*artifacts.WRITES} & {*artifacts.DELETES} | {*artifacts.WRITES, *artifacts.DELETES} & artifacts.READS


def test_what_uploads_by_itself_does_it_by_a_guarded_method() -> None:
    """`_log_artifact_async` is private, and the only other way that MLflow has to write."""
    private = {name for name in vars(artifact_repo.ArtifactRepository) if name.startswith("_") and "__" not in name}
    assert private == {
        *("_create_thread_pool", "_log_artifact_async", "_is_directory", "_create_download_destination"),
        *("_iter_artifacts_recursive", "_download_file"),
    }


def test_a_method_that_nobody_looked_at_keeps_away_from_what_is_sealed(world: World) -> None:
    class Newer(artifact_repo.ArtifactRepository):
        def link_artifact(self, artifact_path: str, target: str) -> str:
            return "linked"

    Newer.__module__ = artifact_repo.__name__
    sealed: Any = artifacts.sealed_class(Newer, artifacts.Sealing(world.gate, ""))
    repository = object.__new__(sealed)
    assert repository.link_artifact("2/x", "2/y") == "linked"
    refused(lambda: repository.link_artifact("2/x", f"{SEALED}/y"))
    refused(lambda: repository.link_artifact("1/models", "2/y"))


@pytest.mark.parametrize("first", ["mlflow", "mlflow_gate.store"])
def test_mlflow_finds_it_whatever_is_imported_first(first: str) -> None:
    """MLflow loads it while it makes its registry, which is not there yet then."""
    known = "mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories as known"
    code = f"import {first}\nfrom {known}\nassert 'countersign' in known()"
    subprocess.run([sys.executable, "-W", "error:Failure attempting", "-c", code], check=True, env=WITH_THE_GATE)


# --- Local files


WRITING: dict[str, Callable[[Any, Path, str], Any]] = {
    "log_artifact": lambda to, file, folder: to.log_artifact(str(file), folder),
    "log_artifacts": lambda to, file, folder: to.log_artifacts(str(file.parent), folder),
    "log_artifact_from_stream": lambda to, _, folder: to.log_artifact_from_stream(
        BytesIO(b"other"), "model.pkl", folder
    ),
    "log_artifact_from_async_stream": lambda to, _, folder: asyncio.run(
        to.log_artifact_from_async_stream(chunks(), "model.pkl", artifact_path=folder)
    ),
}


@pytest.mark.parametrize("name", WRITING)
def test_nothing_is_written_into_a_sealed_folder(name: str, local: Any, file: Path, world: World) -> None:
    write = WRITING[name]
    for folder in (
        SEALED,
        f"{SEALED}/data",
        "1//models/m-7e81/artifacts",
        "1/%6dodels/m-7e81/artifacts",
        SEALED.upper(),
    ):
        said = refused(lambda folder=folder: write(local, file, folder))
        assert said == (
            "The files of churn version 6 cannot be changed, as it is approved or in use; log a new version instead."
            " [gate 0.1 · policy 12 · enforce]"
        )
    assert (Path(local.artifact_dir) / SEALED / "model.pkl").read_bytes() == b"approved"
    assert [path.name for path in (Path(local.artifact_dir) / SEALED).iterdir()] == ["model.pkl"]
    assert {(each["operation"], each["model"], each["version"], each["place"]) for each in world.told} == {
        (name, "churn", 6, "files")
    }


@pytest.mark.parametrize("name", WRITING)
def test_elsewhere_all_is_written(name: str, local: Any, file: Path, world: World) -> None:
    for folder in ("1/models/m-0000/artifacts", "1/models/m-7e81/artifacts-of-mine", "new/1/models/m-7e81/artifacts"):
        WRITING[name](local, file, folder)
        assert (Path(local.artifact_dir) / folder / "model.pkl").read_bytes() == b"other"
    assert world.told == []


def test_a_folder_that_would_spread_into_a_sealed_one(local: Any, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "m-7e81/artifacts").mkdir(parents=True)
    (tree / "m-7e81/artifacts/model.pkl").write_bytes(b"other")
    refused(lambda: local.log_artifacts(str(tree), "1/models"))
    local.log_artifacts(str(tree), "2/models")


@pytest.mark.parametrize(
    "path", [f"{SEALED}/model.pkl", SEALED, f"{SEALED}/", "1/models/m-7e81", "1//models", "%31", "1", "", None, "."]
)
def test_nothing_that_is_sealed_is_deleted(path: str | None, local: Any) -> None:
    refused(lambda: local.delete_artifacts(path))
    refused(lambda: local.delete_artifacts(artifact_path=path))
    assert (Path(local.artifact_dir) / SEALED / "model.pkl").exists()


def test_what_is_not_sealed_is_deleted(local: Any) -> None:
    local.delete_artifacts("1/models/m-0000")
    assert not (Path(local.artifact_dir) / "1/models/m-0000").exists()


def test_a_path_that_climbs_is_refused_as_mlflow_does_it(local: Any, file: Path) -> None:
    for call in (
        lambda: local.log_artifact(str(file), f"{SEALED}/../../../../2"),
        lambda: local.log_artifact(str(file), f"{SEALED}/%2e%2e/x"),
        lambda: local.log_artifact_from_stream(BytesIO(), "..", SEALED),
        lambda: local.delete_artifacts("2/../1"),
    ):
        with pytest.raises(MlflowException, match="leads out of its folder"):
            call()


def test_reading_is_as_it_was(local: Any, tmp_path: Path) -> None:
    assert [each.path for each in local.list_artifacts(SEALED)] == [f"{SEALED}/model.pkl"]
    assert Path(local.download_artifacts(f"{SEALED}/model.pkl")).read_bytes() == b"approved"
    assert Path(local.get_local_path(f"{SEALED}/model.pkl")).read_bytes() == b"approved"
    there = tmp_path / "there"
    there.mkdir()
    local.download_artifacts(SEALED, str(there))
    assert isinstance(local, LocalArtifactRepository)
    assert isinstance(local, artifact_repo.StreamUploadMixin)
    assert not isinstance(local, artifact_repo.MultipartUploadMixin)


def test_a_new_policy_counts_with_the_next_call(local: Any, file: Path, world: World) -> None:
    world.policy = parse(policy_text(serial=13, sealed=[]), "mlflow")
    local.log_artifact(str(file), SEALED)
    world.policy = parse(policy_text(serial=14), "mlflow")
    refused(lambda: local.log_artifact(str(file), SEALED))


def test_observed_writes_go_on_and_are_told(
    local: Any, file: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "mode_now", lambda _: "observe")
    local.log_artifact(str(file), SEALED)
    assert [each["mode"] for each in world.told] == ["observe"]


def test_the_doctors_folder_is_sealed_and_nobody_is_told(local: Any, file: Path, world: World) -> None:
    said = refused(lambda: local.log_artifact(str(file), attacks.SEALED))
    assert said.startswith("The files in countersign-doctor/sealed cannot be changed: they are there to be refused.")
    assert world.told == []


# --- S3


def test_s3_takes_nothing_into_a_sealed_folder(s3: Any, file: Path, bucket: Bucket) -> None:
    before = dict(bucket.objects)
    for folder in (SEALED, "1//models/m-7e81/artifacts", f"{SEALED}/data"):
        refused(lambda folder=folder: s3.log_artifact(str(file), folder))
        refused(lambda folder=folder: s3.log_artifacts(str(file.parent), folder))
        refused(lambda folder=folder: s3.create_multipart_upload("model.pkl", 2, folder))
        refused(lambda folder=folder: s3.complete_multipart_upload("model.pkl", "id", [], folder))
        refused(lambda folder=folder: s3.abort_multipart_upload("model.pkl", "id", folder))
        refused(lambda folder=folder: s3.create_presigned_upload_url(f"{folder}/model.pkl"))
    refused(lambda: s3.create_multipart_upload("artifacts", artifact_path="1/models/m-7e81"))
    for path in (SEALED, f"{SEALED}/model.pkl", "1/models", ""):
        refused(lambda path=path: s3.delete_artifacts(path))
    assert bucket.objects == before
    assert bucket.uploads == []


def test_s3_goes_on_elsewhere(s3: Any, file: Path, bucket: Bucket) -> None:
    folder = "1/models/m-0000/artifacts"
    s3.log_artifact(str(file), folder)
    assert s3.create_multipart_upload("large.bin", 2, folder).upload_id == f"root/{folder}/large.bin"
    s3.complete_multipart_upload("large.bin", f"root/{folder}/large.bin", [], folder)
    assert bucket.objects[f"root/{folder}/large.bin"] == b"in parts"
    assert "signed=put_object" in s3.create_presigned_upload_url(f"{folder}/x").presigned_url
    for reading in ("get_download_presigned_url", "list_artifacts", "download_artifacts"):
        assert getattr(type(s3), reading) is getattr(S3ArtifactRepository, reading)
    s3.delete_artifacts("1/models/m-0000")
    assert list(bucket.objects) == [f"root/{SEALED}/model.pkl"]
    assert isinstance(s3, artifact_repo.MultipartUploadMixin)


def test_an_older_mlflow_deletes_by_the_first_letters_of_a_key(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(artifact_repo, "_is_object_key_within_path")
    monkeypatch.setattr(S3ArtifactRepository, "_get_s3_client", lambda _: bucket)
    monkeypatch.setenv(artifacts.DESTINATION, "countersign:s3://bucket/root")
    older = artifacts_of("countersign:s3://bucket/root")
    refused(lambda: older.delete_artifacts("1/models/m-7"))
    older.delete_artifacts("1/models/m-00")


# --- Which addresses


ROOT = "countersign:/srv/files"


@pytest.mark.parametrize(
    "uri",
    [
        *("countersign:/etc", "countersign:///etc", "countersign:file:///etc", "countersign:", "countersign:/srv"),
        *(f"{ROOT}-of-others", f"{ROOT}/1/models/m-7e81/artifacts", f"{ROOT}/../traces/../../etc"),
        *(f"{ROOT}/traces/%2e%2e/%2e%2e/etc", f"countersign:{ROOT}"),
    ],
)
def test_no_other_address_gets_a_repository(uri: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engineers choose addresses for experiments and versions; MLflow keeps them from `file:`, and not from ours."""
    monkeypatch.setenv(artifacts.DESTINATION, ROOT)
    with pytest.raises(MlflowException, match="for the destination that the MLflow server is started with"):
        artifacts_of(uri)


@pytest.mark.parametrize("destination", ["", "/srv/files", "file:///srv/files"])
def test_without_the_operators_word_there_is_none(
    destination: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(artifacts.DESTINATION, destination)
    for uri in (ROOT, "countersign:", f"countersign:{destination}"):
        with pytest.raises(MlflowException, match="for no other address"):
            artifacts_of(uri)


def test_a_trace_has_a_repository_of_its_own_and_seals_hold_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(artifacts.DESTINATION, f"countersign:{tmp_path}")
    trace = artifacts_of(f"countersign:{tmp_path}/1/traces/tr-1/artifacts")
    trace.upload_trace_data("{}")
    assert (tmp_path / "1/traces/tr-1/artifacts/traces.json").read_text() == "{}"
    world.policy = parse(
        policy_text(serial=13, sealed=[{"folder": "1/traces/tr-1/artifacts", "model": "churn", "version": 6}]), "mlflow"
    )
    refused(lambda: trace.upload_trace_data("{}"))
    refused(lambda: trace.delete_artifacts("x"))


def test_only_the_first_repository_waits_for_a_policy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts._patience_ends.cache_clear()
    monkeypatch.setattr(artifacts, "WAIT", 0.2)
    nothing_known = store.Gate(settings, lambda: UNKNOWN, lambda _: None, Once(settings.used))
    waited = []
    for _ in range(2):
        started = time.monotonic()
        artifacts._wait_for_policy(nothing_known)
        waited.append(time.monotonic() - started)
    assert waited[0] >= 0.2
    assert waited[1] < 0.1


def test_a_kind_of_storage_that_mlflow_does_not_know(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(artifacts.DESTINATION, "countersign:tape://one")
    with pytest.raises(MlflowException, match="no artifact repository for 'tape://one'"):
        artifacts_of("countersign:tape://one")


def test_a_host_that_only_the_operator_names_is_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow lets a server connect to hosts of its own destination alone, and does not see one behind our scheme."""
    asked: list[str] = []

    class Elsewhere(LocalArtifactRepository):
        def __init__(self, artifact_uri: str) -> None:  # without the addresses of other stores, as in older versions
            asked.append(artifact_uri)

    known = artifact_repository_registry.get_registered_artifact_repositories()
    monkeypatch.setitem(known, "sftp", Elsewhere)
    monkeypatch.setenv(artifacts.DESTINATION, "countersign:sftp://files.example/root")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    assert isinstance(artifacts_of("countersign:sftp://files.example/root"), Elsewhere)
    assert asked == ["sftp://files.example/root"]
