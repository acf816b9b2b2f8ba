"""A version's files: hashed, described and kept, from the fake and from a real server alike."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from registry_ui.mirror import inspection, packaging, sync
from registry_ui.mirror.artifacts import plain
from registry_ui.mirror.models import Exhibit, Inspection, ModelVersion
from registry_ui.mirror.registry import ArtifactFile, NotFound, Refused, Registry, Unreachable
from tests.fakes import MODEL_FILES, FakeRegistry
from tests.mirror.backstage import Backstage

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


class World:
    """One registry with the model `churn` 1, its root, and a way to change a file behind its back."""

    def __init__(self, registry: Registry, engineer: Any, name: str) -> None:
        self.registry, self.engineer, self.name = registry, engineer, name
        self.run_id = engineer.log_run({"auc_roc": 0.9})
        engineer.create_version(name, run_id=self.run_id)
        sync.refresh_model(registry, name)
        self.version = ModelVersion.objects.select_related("model").get(model__name=name)
        self.root = registry.version_root(name, 1)

    def put(self, path: str, content: bytes) -> None:
        if isinstance(self.registry, FakeRegistry):
            self.registry.change_file(self.name, 1, path, content)
        else:
            self.engineer.put_file(self.root, path, content)

    def log(self, path: str, content: bytes) -> None:
        """An artifact of the run, beside the model."""
        root = self.registry.run_root(self.run_id)
        if isinstance(self.registry, FakeRegistry):
            self.registry.files_of(root)[path] = content
        else:
            self.engineer.put_file(root, path, content)

    def inspect(self, **limits: Any) -> Inspection:
        return inspection.inspect(self.registry, self.version, **({"files_limit_bytes": None, "seconds": 60} | limits))


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        return World(fake, fake, "churn")
    from registry_ui.mirror.mlflow_registry import MlflowRegistry

    url = request.getfixturevalue("mlflow_server").url
    return World(MlflowRegistry(url, timeout_seconds=15), Backstage(url), f"churn {abs(hash(request.node.name))}")


def test_every_file_is_hashed_and_the_digest_follows_from_the_manifest(world: World) -> None:
    world.put("data/weights 1%.bin", b"x" * 3_000)
    files = world.inspect().files
    assert files is not None
    expected = {**MODEL_FILES, "data/weights 1%.bin": b"x" * 3_000}
    assert files["manifest"] == [
        [path, len(content), hashlib.sha256(content).hexdigest()] for path, content in sorted(expected.items())
    ]
    assert (files["count"], files["bytes"]) == (4, sum(map(len, expected.values())))
    assert files == inspection.hash_files(world.registry, world.version, files_limit_bytes=None, seconds=60)


def test_another_byte_is_another_digest(world: World) -> None:
    before = world.inspect().files
    world.put("model.skops", b"Weights")
    after = world.inspect().files
    assert before is not None
    assert after is not None
    assert before["digest"] != after["digest"]


def test_the_mlmodel_file_is_read_and_nothing_is_loaded(world: World) -> None:
    row = world.inspect()
    assert row.packaging is not None
    assert row.packaging["flavors"]["sklearn"] == {"serialization_format": "skops", "pickled_model": "model.skops"}
    assert row.packaging["requirements"] == ["scikit-learn==1.7.2"]
    assert row.problem == ""


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"{unclosed: [", "not readable YAML"), (b"- a list", "does not say"), (b"!!python/object:os.system x", "YAML")],
)
def test_a_broken_mlmodel_is_said_and_the_files_are_hashed_all_the_same(
    world: World, content: bytes, problem: str
) -> None:
    world.put("MLmodel", content)
    row = world.inspect()
    assert row.packaging is None
    assert problem in row.problem
    assert row.files is not None
    assert row.files["count"] == 3


def test_above_the_limit_files_are_not_hashed_but_described(world: World) -> None:
    world.put("large.bin", b"x" * 2_000_001)
    row = world.inspect(files_limit_bytes=2_000_000)
    assert row.files == {"skipped": "The model's files are larger than 2 MB, so they were not hashed."}
    assert row.packaging is not None


def test_figures_and_tables_of_the_run_are_kept_by_what_they_are(world: World) -> None:
    world.log("plots/roc.png", PNG)
    world.log("plots/page.png", b"<html><script>alert(1)</script>")
    world.log("plots/vector.svg", b"<svg onload='alert(1)'/>")
    world.log("segments.csv", b"a,b\n1,2\n")
    world.log("huge.csv", b"x" * 1_000_001)
    world.inspect()
    kept = Exhibit.objects.filter(version=world.version).order_by("path").values_list("path", "kind", "media_type")
    assert list(kept) == [("plots/roc.png", "image", "image/png"), ("segments.csv", "table", "text/csv")]
    assert bytes(Exhibit.objects.get(path="plots/roc.png").content) == PNG


def test_a_deleted_version_is_not_found(world: World) -> None:
    world.engineer.delete_version(world.name, 1)
    with pytest.raises(NotFound):
        world.inspect()


# --- Trouble, on the fake --------------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> World:
    registry = FakeRegistry()
    return World(registry, registry, "churn")


def test_a_file_that_vanishes_meanwhile_is_looked_for_anew(fake: World) -> None:
    fake.put("gone.bin", b"x")
    fake.registry.fail_next("read_artifact", NotFound("No such artifact: 'gone.bin'"))  # type: ignore[attr-defined]
    files = fake.inspect().files
    assert files is not None
    assert files["count"] == 4


def test_a_file_that_is_listed_and_never_given_is_named(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = list(fake.registry.artifacts(fake.root))
    monkeypatch.setattr(fake.registry, "artifacts", lambda root: iter([*listed, ArtifactFile("gone.bin", 1)]))
    with pytest.raises(Refused, match=r"lists the file 'gone\.bin', but does not give it"):
        fake.inspect()


def test_an_empty_folder_has_an_empty_manifest(fake: World) -> None:
    fake.registry.files[fake.root] = {}  # type: ignore[attr-defined]
    row = fake.inspect()
    assert row.files == {"digest": hashlib.sha256(b"[]").hexdigest(), "bytes": 0, "count": 0, "manifest": []}
    assert (row.packaging, "no MLmodel file" in row.problem) == (None, True)


def test_a_server_that_stalls_is_given_up_in_time(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(root: str, path: str) -> Iterator[bytes]:
        while True:
            yield b"x"

    monkeypatch.setattr(fake.registry, "read_artifact", endless)
    with pytest.raises(inspection.TookTooLong, match=r"within 0\.2 seconds"):
        fake.inspect(seconds=0.2)


def test_an_outage_in_the_middle_keeps_what_was_known(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fake.inspect().files
    fake.registry.fail_next("read_artifact", Unreachable("MLflow answered 503."))  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        fake.inspect()
    assert Inspection.objects.get(version=fake.version).files == before


def test_ten_thousand_files_are_hashed(fake: World) -> None:
    fake.registry.files[fake.root] = {f"part-{number:05}": b"x" for number in range(10_000)}  # type: ignore[attr-defined]
    files = fake.inspect().files
    assert files is not None
    assert (files["count"], files["bytes"]) == (10_000, 10_000)


def test_curves_keep_steps_and_values_that_are_no_numbers(fake: World) -> None:
    fake.registry.histories[fake.run_id] = {"auc_roc": [(2, float("nan")), (1, 0.5), (3, float("inf"))]}  # type: ignore[attr-defined]
    assert fake.inspect().curves == {"auc_roc": [[1, "0.5"], [2, "nan"], [3, "inf"]]}


@pytest.mark.parametrize("path", ["../secret", "a/../../b", "/etc/passwd", "a\\..\\b", ""])
def test_a_name_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    with pytest.raises(Refused, match="leads out of its folder"):
        plain(path)


def test_signatures_are_read_from_the_json_inside_the_yaml() -> None:
    text = b"""flavors: {sklearn: {version: 1.5, code: x}}
model_size_bytes: 12
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}]'
  outputs: '[{"type": "long"}]'
  params: null
"""
    read, problem = packaging.read({"MLmodel": text, "input_example.json": b"[[1, 2]]"})
    assert problem == ""
    assert read is not None
    assert read["signature"] == {
        "inputs": [{"type": "double", "name": "age", "required": True}],
        "outputs": [{"type": "long"}],
        "params": [],
    }
    assert (read["flavors"], read["input_example"]) == ({"sklearn": {"version": "1.5"}}, "[[1, 2]]")
