"""`manage.py mlflow_roles`: MLflow's own roles as a layer under the gate, made and tried on its basic-auth."""

import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

from mirror import roles, sync
from mirror.port import Denied, Gate, Refused
from mirror.rights import Level, Trial
from tests.support import gated
from tests.support.gate import KEY
from tests.support.mlflow_server import MlflowServer
from tests.support.signed import ADMIN, PASSWORD, SignedMlflow

pytestmark = [pytest.mark.django_db, pytest.mark.server, pytest.mark.nodb]  # this MLflow is on SQLite in any case

GATE = "countersign"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedMlflow]:
    with SignedMlflow(tmp_path_factory.mktemp("roles"), default_permission="NO_PERMISSIONS") as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_TRACKING_USERNAME": GATE,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def run(signed: SignedMlflow, settings: Any) -> Any:
    settings.MLFLOW_TRACKING_URI = signed.url

    def called(*options: str, code: int = 0, **more: Any) -> str:
        out = StringIO()
        if code:
            with pytest.raises(SystemExit) as ended:
                call_command("mlflow_roles", *options, stdout=out, **more)
            assert ended.value.code == code
        else:
            call_command("mlflow_roles", *options, stdout=out, **more)
        return out.getvalue()

    return called


def status(signed: SignedMlflow, who: str, method: str, path: str, **values: Any) -> int:
    url = f"{signed.url}/api/2.0/mlflow/{path}"
    return requests.request(method, url, json=values, auth=(who, PASSWORD), timeout=60).status_code


def administrator(signed: SignedMlflow) -> roles.Administrator:
    return roles.Administrator(signed.url, *ADMIN)


def role(signed: SignedMlflow, name: str) -> dict[str, Any]:
    found = administrator(signed).call("GET", "roles/list", workspace="default")["roles"]
    return dict(next(each for each in found if each["name"] == name))


def test_a_dry_run_makes_nothing_and_a_run_can_be_repeated(signed: SignedMlflow, run: Any) -> None:
    said = run("--dry-run", "--engineer", "nobody-yet")
    assert "role countersign-engineers: would add registered_model_version READ." in said
    assert said.endswith("Nothing was changed.\n")
    assert administrator(signed).call("GET", "roles/list", workspace="default")["roles"] == []

    rita, ole = signed.person("rita"), signed.person("ole")
    said = run("--engineer", rita)
    assert "account countersign: made." in said
    assert "account rita: given the role countersign-engineers." in said
    assert "Administrators may do everything: admin." in said
    assert f"may change versions of each model they may edit: {ole}." in said

    said = run("--engineer", rita)
    assert "made." not in said
    assert "added" not in said
    assert "role countersign-gate: has registered_model MANAGE." in said
    assert "account rita: has the role countersign-engineers." in said
    left = {user["username"] for user in administrator(signed).call("GET", "users/list", "2.0")["users"]}
    assert left == {ADMIN[0], rita, ole, GATE}
    assert administrator(signed).call("GET", "registered-models/search", "2.0") == {}


def test_engineers_register_and_do_not_promote_by_stage(signed: SignedMlflow, run: Any) -> None:
    signed.model("theirs")
    signed.person("erik")
    said = run("--engineer", "erik")
    table = {line[2:].split("  ")[0]: line.split("  ")[-1].strip() for line in said.splitlines() if line[:2] == "  "}
    assert table == {
        "Register a version": "open",
        "Move a stage": "refused",
        "Change a version's description": "refused",
        "Set a version's tag": "refused",
        "Delete a version's tag": "refused",
        "Delete a version": "refused",
        "Set or move an alias": "open",
        "Delete an alias": "open, on a model of one's own",
        "Delete the model": "refused",
        "Rename the model": "open",
        "Mark the model as a prompt, then move a stage": "refused",
    }
    move = {"name": "theirs", "version": "1", "stage": "Production", "archive_existing_versions": True}
    assert status(signed, "erik", "POST", "model-versions/create", name="theirs", source="s3://nothing/here") == 200
    assert status(signed, "erik", "POST", "model-versions/transition-stage", **move) == 403
    assert status(signed, GATE, "POST", "model-versions/transition-stage", **move) == 200
    assert status(signed, "erik", "POST", "runs/create", experiment_id="0", start_time=1) == 200


def test_engineers_cannot_give_themselves_more(signed: SignedMlflow, run: Any) -> None:
    signed.person("eva")
    run("--engineer", "eva")
    engineer = roles.Administrator(signed.url, "eva", PASSWORD)
    engineer.call("POST", "registered-models/create", "2.0", name="evas")
    more = {"resource_type": "registered_model_version", "resource_pattern": "*", "permission": "MANAGE"}
    number = role(signed, roles.ENGINEERS)["id"]
    held = role(signed, roles.ENGINEERS)["permissions"][1]["id"]
    for method, path, values in (
        ("POST", "users/permissions/grant", {"username": "eva", "resource_id": "*", **more}),
        ("POST", "users/permissions/grant", {"username": "eva", "resource_id": "evas", **more}),
        ("POST", "roles/permissions/add", {"role_id": number, **more}),
        ("PATCH", "roles/permissions/update", {"role_permission_id": held, "permission": "MANAGE"}),
        ("DELETE", "roles/unassign", {"username": "eva", "role_id": number}),
        ("POST", "roles/create", {"name": "mine", "workspace": "default"}),
    ):
        with pytest.raises((Denied, Refused)):
            engineer.call(method, path, **values)
    assert roles.ENGINEERS in run()


def test_engineers_register_prompts(signed: SignedMlflow, run: Any) -> None:
    signed.person("paula")
    run("--engineer", "paula")
    is_prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    assert status(signed, "paula", "POST", "registered-models/create", name="greeting", tags=is_prompt) == 200
    version = {"name": "greeting", "source": "prompt-template", "tags": is_prompt}
    assert status(signed, "paula", "POST", "model-versions/create", **version) == 200
    alias = {"name": "greeting", "alias": "champion", "version": "1"}
    assert status(signed, "paula", "POST", "registered-models/alias", **alias) == 200


def test_the_gates_role_is_all_that_the_worker_needs(signed: SignedMlflow, run: Any) -> None:
    signed.model("of_another")
    run()
    from mirror.mlflow.client import MlflowRegistry

    real = MlflowRegistry(signed.url, timeout_seconds=30)
    sync.sweep(real)
    assert [row for row in Trial(real).run() if row.level == Level.BAD] == []


def test_with_the_gates_role_the_worker_sees_whether_the_gate_is_there(
    signed: SignedMlflow, run: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirror.mlflow.client import MlflowRegistry

    run()
    assert MlflowRegistry(signed.url, timeout_seconds=30).gate() is None
    server = SignedMlflow(tmp_path, default_permission="NO_PERMISSIONS")
    server.environment |= gated.environment(tmp_path / "gate", f"sqlite:///{tmp_path / 'mlflow.sqlite3'}")
    with server:
        settings.MLFLOW_TRACKING_URI = server.url
        said = run()
        assert "Set or move an alias                           refused" in said
        worker = MlflowRegistry(server.url, timeout_seconds=30)
        assert worker.gate() == Gate("0.1", 12, "enforce")

        # A grant works once; the change that was answered 401 is sent again with it.
        server.model("churn")
        file, exchanged = tmp_path / "password", PASSWORD.swapcase()
        file.write_text(PASSWORD)
        before = file.stat()
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(file))
        worker.version("churn", 1)
        administrator(server).call("PATCH", "users/update-password", "2.0", username=GATE, password=exchanged)
        file.write_text(exchanged)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        settings.GATE_KEY = KEY.private_bytes_raw()
        worker.set_stage("churn", 1, "Production", archive_existing=True)
        assert worker.version("churn", 1).stage == "Production"
        assert status(server, GATE, "GET", "registered-models/get?name=churn") == 401


def test_a_level_that_somebody_raised_is_put_right(signed: SignedMlflow, run: Any) -> None:
    run()
    held = {grant["resource_type"]: grant for grant in role(signed, roles.ENGINEERS)["permissions"]}
    number, mlflow = held["registered_model_version"]["id"], administrator(signed)
    mlflow.call("PATCH", "roles/permissions/update", role_permission_id=number, permission="EDIT")
    mlflow.call(
        "POST", "roles/permissions/add", role_id=role(signed, roles.ENGINEERS)["id"],
        resource_type="scorer", resource_pattern="*", permission="READ",
    )  # fmt: skip
    said = run()
    assert "role countersign-engineers: changed registered_model_version from EDIT to READ." in said
    assert "role countersign-engineers: has scorer READ on * besides, which stays." in said


def test_a_password_that_was_exchanged_is_given_to_the_account(signed: SignedMlflow) -> None:
    said: list[str] = []
    signed.person("exchanged")

    def give(password: str, *, is_dry: bool = False) -> list[str]:
        said.clear()
        roles.Work(administrator(signed), is_dry=is_dry, say=said.append).account("exchanged", password)
        return said

    there = "account exchanged: is there."
    assert give(PASSWORD) == [there]
    assert give("only-for-tests-other", is_dry=True) == [
        there,
        "account exchanged: would give it the password that is set.",
    ]
    assert give(PASSWORD) == [there]
    assert give("only-for-tests-other") == [there, "account exchanged: given the password that is set."]
    assert give("only-for-tests-other") == give("") == [there]
    assert roles.Administrator(signed.url, "exchanged", "only-for-tests-other").has_sign_in()
    said.clear()
    roles.Work(administrator(signed), is_dry=False, say=said.append).account(ADMIN[0], "only-for-tests-other")
    assert said == ["account admin: is there."], "nobody loses the way in by it"


def test_a_grant_that_outdoes_the_role_is_named(signed: SignedMlflow, run: Any) -> None:
    signed.person("olga")
    administrator(signed).call(
        "POST", "users/permissions/grant",
        username="olga", resource_type="registered_model_version", resource_id="*", permission="EDIT",
    )  # fmt: skip
    assert "Have another grant that lets them change versions: olga." in run("--engineer", "olga")


def test_what_the_servers_default_undoes_is_told_by_the_exit_code(
    tmp_path_factory: pytest.TempPathFactory, run: Any, settings: Any
) -> None:
    with SignedMlflow(tmp_path_factory.mktemp("generous"), default_permission="EDIT") as generous:
        settings.MLFLOW_TRACKING_URI = generous.url
        said = run(code=1)
        assert "should be refused" in run("--only-say"), "said all the same, and a start is not stopped by it"
    assert "Move a stage                                   open   ← should be refused" in said
    assert "Make it READ or less." in said


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "wrong"}, "MLflow does not take the password of admin."),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": ""}, "Set MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_AUTH_ADMIN_PASSWORD"),
        ({"MLFLOW_TRACKING_USERNAME": ""}, "Set MLFLOW_TRACKING_USERNAME to the worker's account"),
        (
            {"MLFLOW_TRACKING_USERNAME": "new", "MLFLOW_TRACKING_PASSWORD": ""},
            "There is no account new in MLflow; set MLFLOW_TRACKING_PASSWORD",
        ),
        ({"MLFLOW_AUTH_ADMIN_USERNAME": "una", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}, "only an administrator"),
    ],
)
def test_what_is_missing_is_a_sentence_and_exit_code_2(
    signed: SignedMlflow, run: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    if "una" in variables.values():
        signed.person("una")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandError, match=words) as refused:
        run()
    assert refused.value.returncode == 2


def test_an_mlflow_without_roles_is_named(mlflow_server: MlflowServer, run: Any, settings: Any) -> None:
    settings.MLFLOW_TRACKING_URI = mlflow_server.url
    with pytest.raises(CommandError, match="does not run its basic-auth app, so it has no roles"):
        run()
    settings.MLFLOW_TRACKING_URI = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="cannot be reached"):
        run()


def test_an_old_mlflow_is_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles.Administrator, "version", lambda _: "3.9.0")
    with pytest.raises(CommandError, match=r"is 3\.9\.0\. Before 3\.17 anyone who may register"):
        run()
