"""A version's files: hashed, described and kept, from the fake and from a real server alike."""

import hashlib
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from threading import Event
from typing import Any

import pytest

from mirror import inspection, packaging, sync
from mirror.exhibits import image_type
from mirror.mlflow.artifacts import plain
from mirror.models import Exhibit, Inspection, ModelVersion
from mirror.port import ArtifactFile, NotFound, Refused, Registry, Unreachable
from tests.support.backstage import Backstage
from tests.support.fakes import MODEL_FILES, FakeRegistry

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


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=[pytest.mark.server, pytest.mark.nodb])])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        return World(fake, fake, "churn")
    from mirror.mlflow.client import MlflowRegistry

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


@pytest.mark.parametrize("gateway", ["metric_history", "stepped_metrics"])
def test_curves_that_mlflow_does_not_give_are_noted_and_nobody_waits(
    world: World, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    """MLflow 2.9 and gateways answer a bare 404 for `metrics/get-history-bulk-interval`."""
    for step in (0, 1):
        world.engineer.log_metric(world.run_id, "loss", 0.5 - step / 10, step=step)
    world.log("plots/roc.png", PNG)
    if isinstance(world.registry, FakeRegistry):
        world.registry.histories[world.run_id] = {"loss": [(0, 0.5), (1, 0.4)]}
        world.registry.fail_next(gateway, Unreachable("There is no MLflow registry at http://mlflow (answer 404)."))
    else:
        send, path = type(world.registry)._send, {"metric_history": "get-history-bulk", "stepped_metrics": "runs/get"}  # type: ignore[attr-defined]

        def without(self: Any, method: str, asked: str, *more: Any, **options: Any) -> Any:
            return send(self, method, f"{asked}/nothing" if path[gateway] in asked else asked, *more, **options)

        monkeypatch.setattr(type(world.registry), "_send", without)
    row = world.inspect()
    assert row.problem.startswith("Curves of metrics are not available: There is no MLflow registry at http://")
    assert (row.curves, row.packaging is not None, row.inspected_at is not None) == ({}, True, True)
    assert row.files is not None
    assert row.files["count"] == 3


def test_figures_that_mlflow_does_not_give_now_stay_as_they_were(fake: World) -> None:
    fake.log("plots/roc.png", PNG)
    fake.inspect()
    assert isinstance(fake.registry, FakeRegistry)
    fake.registry.fail_next("run_root", Unreachable("No answer."))
    assert fake.inspect().problem == "Figures and tables are not available: No answer."
    assert Exhibit.objects.get(version=fake.version).path == "plots/roc.png"
    assert fake.inspect().problem == ""


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


@pytest.mark.parametrize("path", ["../secret", "a/../../b", "/etc/passwd", ""])
def test_a_name_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    with pytest.raises(Refused, match="leads out of its folder"):
        plain(path)


def test_progress_is_told_and_written_while_files_are_read(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int]] = []
    slow = fake.registry.read_artifact

    def slowly(root: str, path: str) -> Iterator[bytes]:
        time.sleep(0.05)
        yield from slow(root, path)

    def progress() -> None:
        row = Inspection.objects.get(version=fake.version)
        seen.append((row.files_done, row.files_total, row.bytes_total))

    monkeypatch.setattr(fake.registry, "read_artifact", slowly)
    monkeypatch.setattr(inspection, "TOLD_EVERY", 0.1)
    fake.registry.files[fake.root] = {f"part-{number:02}": b"xyz" for number in range(40)}  # type: ignore[attr-defined]
    fake.inspect(progress=progress)
    assert {each[1:] for each in seen} == {(40, 120)}
    done = [each[0] for each in seen]
    assert len(seen) >= 3
    assert done == sorted(done)
    assert 0 < done[-1] <= 40


def test_progress_that_raises_ends_the_reading_and_stores_nothing(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class LeaseLostError(Exception):
        pass

    def lost() -> None:
        raise LeaseLostError

    monkeypatch.setattr(inspection, "TOLD_EVERY", 0.0)
    with pytest.raises(LeaseLostError):
        fake.inspect(progress=lost)
    row = Inspection.objects.get(version=fake.version)
    assert (row.files, row.packaging, row.inspected_at) == (None, None, None)


def test_a_thread_that_hangs_does_not_hold_the_reading(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    released = Event()

    def hanging(root: str, path: str) -> Iterator[bytes]:
        released.wait(20)
        yield b""

    monkeypatch.setattr(fake.registry, "read_artifact", hanging)
    started = time.monotonic()
    try:
        with pytest.raises(inspection.TookTooLong):
            fake.inspect(seconds=0.3)
        assert time.monotonic() - started < 5
    finally:
        released.set()


def test_a_store_that_does_not_say_sizes_is_held_to_the_limit(fake: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.put("large.bin", b"x" * 3_000)
    listed = [ArtifactFile(file.path, None) for file in fake.registry.artifacts(fake.root)]
    monkeypatch.setattr(fake.registry, "artifacts", lambda root: iter(listed if root == fake.root else ()))
    files = inspection.hash_files(fake.registry, fake.version, files_limit_bytes=2_000, seconds=60)
    assert "larger than" in files["skipped"]
    assert "digest" in inspection.hash_files(fake.registry, fake.version, files_limit_bytes=9_000, seconds=60)


def test_files_are_not_even_listed_where_the_policy_does_not_ask(fake: World) -> None:
    fake.registry.calls.clear()  # type: ignore[attr-defined]
    files = inspection.hash_files(fake.registry, fake.version, files_limit_bytes=0, seconds=60)
    assert "does not ask" in files["skipped"]
    assert not fake.registry.count("artifacts", "read_artifact")  # type: ignore[attr-defined]


def test_a_store_that_may_not_be_read_is_in_the_way_only_where_hashes_are_asked_for(
    fake: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(root: str) -> Iterator[ArtifactFile]:
        raise Refused("The files are in s3://bucket, which may not be read.")

    monkeypatch.setattr(fake.registry, "artifacts", refused)
    row = fake.inspect(files_limit_bytes=0)
    assert (row.packaging, row.problem) == (None, "The files are in s3://bucket, which may not be read.")
    assert row.inspected_at is not None
    with pytest.raises(Refused, match="s3://bucket"):
        fake.inspect()


def test_an_outage_while_packaging_is_read_is_not_taken_for_no_packaging(fake: World) -> None:
    fake.registry.fail_next("read_artifact", Unreachable("MLflow answered 503."))  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        fake.inspect(files_limit_bytes=0)


def test_reading_the_packaging_leaves_files_as_they_are(fake: World) -> None:
    before = fake.inspect().files
    fake.put("model.skops", b"other")
    fake.put("requirements.txt", b"numpy==2.3.1\n")
    row = inspection.read_packaging(fake.registry, fake.version)
    row.refresh_from_db()
    assert row.files == before
    assert row.packaging is not None
    assert row.packaging["requirements"] == ["numpy==2.3.1"]


# --- Curves and exhibits


def test_two_thousand_metrics_without_steps_cost_no_request_each(fake: World) -> None:
    fake.engineer.change_run(fake.run_id, metrics={f"m{number:04}": 0.5 for number in range(2_000)})
    fake.registry.histories[fake.run_id] = {f"s{number:03}": [(1, 0.1), (2, 0.2)] for number in range(80)}  # type: ignore[attr-defined]
    fake.registry.calls.clear()  # type: ignore[attr-defined]
    curves = fake.inspect().curves
    assert sorted(curves) == [f"s{number:03}" for number in range(50)]
    assert curves["s000"] == [[1, "0.1"], [2, "0.2"]]
    assert fake.registry.count("metric_history") == 50  # type: ignore[attr-defined]


def test_a_metric_logged_once_is_no_curve(fake: World) -> None:
    fake.registry.histories[fake.run_id] = {"once": [(7, 0.1)], "twice_at_one_step": [(7, 0.1), (7, 0.2)]}  # type: ignore[attr-defined]
    assert fake.inspect().curves == {}


def test_a_run_that_is_gone_leaves_no_curves_and_no_exhibits(fake: World) -> None:
    fake.log("plots/roc.png", PNG)
    fake.inspect()
    fake.engineer.purge_run(fake.run_id)
    row = fake.inspect()
    assert row.curves == {}
    assert not Exhibit.objects.filter(version=fake.version).exists()
    assert row.files is not None


def test_exhibits_are_replaced_by_what_is_there_now(fake: World) -> None:
    fake.log("a.png", PNG)
    fake.log("b.png", PNG)
    fake.inspect()
    fake.log("b.png", PNG + b"more")
    del fake.registry.files_of(fake.registry.run_root(fake.run_id))["a.png"]  # type: ignore[attr-defined]
    fake.inspect()
    kept = Exhibit.objects.get(version=fake.version)
    assert (kept.path, bytes(kept.content), kept.size) == ("b.png", PNG + b"more", len(PNG) + 4)
    assert kept.sha256 == hashlib.sha256(PNG + b"more").hexdigest()


def test_only_json_that_is_a_table_is_kept(fake: World) -> None:
    fake.log("logged.json", b'{"columns": ["a"], "data": [[1]]}')
    fake.log("records.json", b'[{"a": 1}, {"a": 2}]')
    for name, content in (
        ("settings.json", b'{"depth": 3}'),
        ("broken.json", b'{"columns": ['),
        ("deep.json", b"[" * 100_000),
        ("numbers.json", b"[1, 2]"),
        ("empty.json", b"[]"),
        ("not-text.json", b"\xff\xfe\x00"),
    ):
        fake.log(name, content)
    fake.inspect()
    assert set(Exhibit.objects.values_list("path", flat=True)) == {"logged.json", "records.json"}


def test_what_belongs_to_a_model_is_no_exhibit(fake: World) -> None:
    for path in ("model/MLmodel", "model/input_example.json", "model/code/figure.png"):
        fake.log(path, PNG if path.endswith("png") else b'[{"a": 1}]')
    fake.log("models.png", PNG)
    fake.inspect()
    assert list(Exhibit.objects.values_list("path", flat=True)) == ["models.png"]


def test_so_many_exhibits_are_kept_and_no_more(fake: World) -> None:
    for number in range(40):
        fake.log(f"{number:02}.png", PNG)
    fake.inspect()
    assert list(Exhibit.objects.order_by("path").values_list("path", flat=True)) == [f"{n:02}.png" for n in range(24)]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF0000WEBPVP8 ", "image/webp"),
        (b"RIFF0000WAVEfmt ", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ""),
        (b"<!doctype html>", ""),
        (b"", ""),
    ],
)
def test_an_image_is_what_its_first_bytes_say(content: bytes, media_type: str) -> None:
    assert image_type(content) == media_type


# --- Packaging


def test_nothing_in_an_mlmodel_is_endless_or_unstorable() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghij")
    )
    hostile = {
        "bomb": f"{bomb}flavors: {{sklearn: {{x: *j}}}}",
        "bomb in a version": f"{bomb}flavors: {{python_function: {{python_version: *j}}}}",
        "bomb in a tuple": f"{bomb}flavors: {{sklearn: {{x: !!pairs [a: *j]}}}}",
        "bomb in a signature": f"{bomb}signature: {{inputs: *j}}",
        "ring": "flavors: {sklearn: &ring {again: *ring}}",
        "deep": "flavors: " + "[" * 5_000,
        "long integer": "model_size_bytes: " + "9" * 5_000,
        "odd date": "flavors: {sklearn: {at: 2026-99-99}}",
        "python": "flavors: {sklearn: !!python/object/apply:os.system [id]}",
    }
    for name, text in hostile.items():
        started = time.monotonic()
        facts, problem = packaging.read({"MLmodel": text.encode()})
        assert time.monotonic() - started < 5, name
        assert facts is None, name
        assert problem in {packaging.UNREADABLE, "The MLmodel file says more than can be shown."}, name


def test_odd_values_of_an_mlmodel_become_plain_ones() -> None:
    text = """
flavors:
  sklearn: {big: 0xffffffffffffffffffff, at: 2026-10-31, ratio: 0.5, inf: .inf, some: !!set {b, a}, raw: !!binary aGk=,
            nul: "a\\0b", none: null, flag: yes}
  3: {ignored: true}
model_size_bytes: true
"""
    signature = """signature: {inputs: '[{"name": "\\ud800", "default": 1e999}]', outputs: 'not JSON', params: 7}"""
    facts, problem = packaging.read({"MLmodel": f"{text}{signature}".encode()})
    assert problem == ""
    assert facts is not None
    assert facts["flavors"] == {
        "sklearn": {
            "big": "a very large number",
            "at": "2026-10-31",
            "ratio": "0.5",
            "inf": "inf",
            "some": ["a", "b"],
            "raw": "b'hi'",
            "nul": "a\ufffdb",
            "flag": True,
        }
    }
    assert facts["model_size_bytes"] is None
    assert facts["signature"] == {"inputs": [{"name": "?", "default": "inf"}], "outputs": [], "params": []}
    json.dumps(facts, allow_nan=False).encode()


def test_a_wide_table_fits_into_a_signature() -> None:
    columns = json.dumps([{"type": "double", "name": f"column_{n}", "required": True} for n in range(4_000)])
    facts, _ = packaging.read({"MLmodel": f"flavors: {{}}\nsignature: {{inputs: '{columns}'}}".encode()})
    assert facts is not None
    assert len(facts["signature"]["inputs"]) == 4_000


def test_a_long_input_example_is_cut(fake: World) -> None:
    fake.put("input_example.json", b"[" + b"1," * 5_000 + b"1]")
    packed = fake.inspect().packaging
    assert packed is not None
    assert packed["input_example"].startswith("[1,1")
    assert len(packed["input_example"]) == packaging.LONGEST_EXAMPLE + 1


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
