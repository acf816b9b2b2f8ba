import json
import shutil
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow_gate import changes, grants, store
from mlflow_gate.once import Once
from mlflow_gate.policy import UNKNOWN, parse

from tests.mlflow_gate.conftest import GuardedRegistry
from tests.support.gate import KEY, OTHER_KEY, WORDS, policy_text, rule

NOTE = (
    "<!-- countersign:begin -->\n"
    "Approved for Production by Remy Ortiz · 2026-11-23 12:04 UTC · request #12\n"
    "<!-- countersign:end -->"
)


def refused(call: Any) -> str:
    with pytest.raises(MlflowException) as caught:
        call()
    assert caught.value.error_code == "PERMISSION_DENIED", caught.value
    return str(caught.value.message)


def test_a_stage_is_refused_with_what_it_needs_and_where_to_ask(registry: GuardedRegistry, settings: Any) -> None:
    registry.versions("churn rate", 2)
    store = registry.guarded
    for stage in ("Production", "production", "PRODUCTION"):
        said = refused(lambda stage=stage: store.transition_model_version_stage("churn rate", "2", stage, False))
        assert said == (
            f"churn rate version 2 cannot be moved to Production here: {WORDS}. "
            f"Ask for it: {settings.site}/p/churn%20rate/2 [gate 0.1 · policy 12 · enforce]"
        )
    assert registry.plain.get_model_version("churn rate", 2).current_stage == "None"
    told = registry.told[0]
    assert (told["model"], told["version"], told["place"], told["mode"]) == (
        "churn rate",
        2,
        "stage:Production",
        "enforce",
    )


def test_other_stages_and_aliases_go_on(registry: GuardedRegistry) -> None:
    registry.versions("churn", 2)
    registry.guarded.transition_model_version_stage("churn", "2", "Staging", False)
    registry.guarded.transition_model_version_stage("churn", "2", "Archived", False)
    registry.guarded.set_registered_model_alias("churn", "challenger", "2")
    registry.guarded.delete_registered_model_alias("churn", "challenger")
    assert registry.told == []


@pytest.mark.parametrize("stage", ["None", "Archived", "Staging"])
def test_a_version_cannot_leave_production(registry: GuardedRegistry, stage: str) -> None:
    registry.versions("churn", 2, in_production=1)
    said = refused(lambda: registry.guarded.transition_model_version_stage("churn", "1", stage, False))
    assert said.startswith("churn version 1 cannot be taken out of Production here. [gate")


@pytest.mark.parametrize("alias", ["champion", "Champion", "CHAMPION", "chámpion"])
def test_an_alias_is_refused_in_each_spelling(registry: GuardedRegistry, alias: str) -> None:
    registry.versions("churn", 2, in_production=1)
    said = refused(lambda: registry.guarded.set_registered_model_alias("churn", alias, "02"))
    assert said.startswith(f"churn version 2 cannot be made @champion here: {WORDS}. Ask for it: ")
    refused(lambda: registry.guarded.delete_registered_model_alias("churn", alias))
    assert registry.plain.get_registered_model("churn").aliases == {"champion": 1}


def test_a_model_that_the_rule_excepts_is_free(registry: GuardedRegistry) -> None:
    registry.versions("sandbox_x", 2, in_production=1)
    store = registry.guarded
    store.transition_model_version_stage("sandbox_x", "2", "Production", True)
    store.set_registered_model_alias("sandbox_x", "champion", "2")
    store.set_model_version_tag("sandbox_x", "2", ModelVersionTag("countersign.request", "1"))
    assert registry.plain.get_registered_model("sandbox_x").aliases == {"champion": 2}
    store.delete_model_version("sandbox_x", "2")
    assert [each.version for each in registry.plain.search_model_versions("name = 'sandbox_x'")] == [1]


def test_a_new_name_may_not_bring_a_promotion_with_it(registry: GuardedRegistry) -> None:
    registry.versions("sandbox_x", 2, in_production=1)
    said = refused(lambda: registry.guarded.rename_registered_model("sandbox_x", "churn"))
    assert said.startswith("sandbox_x cannot be renamed to churn while version 1 is Production.")
    registry.guarded.rename_registered_model("sandbox_x", "sandbox_y")
    registry.versions("empty", 1)
    registry.guarded.rename_registered_model("empty", "still_empty")


@pytest.mark.parametrize(
    "written",
    [
        lambda plain: plain.set_registered_model_tag("sandbox_x", RegisteredModelTag("countersign.x", "1")),
        lambda plain: plain.set_model_version_tag("sandbox_x", 1, ModelVersionTag("countersign.request", "1")),
        lambda plain: plain.set_model_version_tag("sandbox_x", 1, ModelVersionTag("mlflow.prompt.is_prompt", "true")),
        lambda plain: plain.update_model_version("sandbox_x", 2, NOTE),
    ],
)
def test_a_new_name_may_not_bring_forged_facts_with_it(registry: GuardedRegistry, written: Any) -> None:
    registry.versions("sandbox_x", 2)
    written(registry.plain)
    said = refused(lambda: registry.guarded.rename_registered_model("sandbox_x", "churn"))
    assert said.startswith("sandbox_x cannot be renamed to churn with what it says of approvals.")
    registry.guarded.rename_registered_model("sandbox_x", "sandbox_y")


def test_a_prompt_may_be_renamed(registry: GuardedRegistry) -> None:
    registry.guarded.create_prompt("sandbox_answer")
    registry.guarded.create_prompt_version("sandbox_answer", "Be kind.")
    registry.guarded.rename_registered_model("sandbox_answer", "answer")
    assert registry.plain.get_registered_model("answer").name == "answer"


def test_what_holds_a_place_cannot_be_deleted_or_renamed(registry: GuardedRegistry) -> None:
    registry.versions("churn", 2, in_production=1)
    store = registry.guarded
    assert refused(lambda: store.delete_model_version("churn", "1")).startswith(
        "churn version 1 cannot be deleted while it is Production."
    )
    assert refused(lambda: store.delete_registered_model("churn")).startswith("churn cannot be deleted while version 1")
    refused(lambda: store.rename_registered_model("churn", "other"))
    store.delete_model_version("churn", "2")


def test_the_note_is_countersigns_and_the_text_the_engineers(registry: GuardedRegistry) -> None:
    registry.versions("churn", 1)
    store = registry.guarded
    store.update_model_version("churn", "1", "Trained again.")
    said = refused(lambda: store.update_model_version("churn", "1", f"Trained again.\n\n{NOTE}"))
    assert said.startswith("The approval note of churn version 1 is written by Countersign alone. [gate")
    registry.plain.update_model_version("churn", 1, f"Trained again.\n\n{NOTE}")
    store.update_model_version("churn", "1", f"Trained once more.\n\n{NOTE}")
    refused(lambda: store.update_model_version("churn", "1", "Trained once more."))
    refused(lambda: store.update_model_version("churn", "1", None))
    refused(lambda: store.update_model_version("churn", "1", NOTE.replace("Remy", "Rita")))


@pytest.mark.parametrize("key", ["countersign.request", "Countersign.request", "mlflow.prompt.is_prompt"])
def test_facts_are_tags_of_countersign(registry: GuardedRegistry, key: str) -> None:
    registry.versions("churn", 1)
    store = registry.guarded
    refused(lambda: store.set_model_version_tag("churn", "1", ModelVersionTag(key, "true")))
    refused(lambda: store.delete_model_version_tag("churn", "1", key))
    refused(lambda: store.set_registered_model_tag("churn", RegisteredModelTag(key, "true")))
    refused(lambda: store.delete_registered_model_tag("churn", key))
    store.set_model_version_tag("churn", "1", ModelVersionTag("team", "risk"))
    store.delete_model_version_tag("churn", "1", "team")
    store.set_registered_model_tag("churn", RegisteredModelTag("team", "risk"))
    store.delete_registered_model_tag("churn", "team")


def test_what_is_registered_brings_no_approval_along(registry: GuardedRegistry) -> None:
    store = registry.guarded
    store.create_registered_model(
        "churn", tags=[RegisteredModelTag("countersign.x", "1"), RegisteredModelTag("team", "risk")]
    )
    store.create_model_version(
        "churn",
        "s3://bucket/model",
        tags=[ModelVersionTag("countersign.request", "12"), ModelVersionTag("team", "risk")],
        description=f"A copy.\n\n{NOTE}",
    )
    assert registry.plain.get_registered_model("churn").tags == {"team": "risk"}
    made = registry.plain.get_model_version("churn", 1)
    assert (made.tags, made.description) == ({"team": "risk"}, "A copy.")


def test_a_copy_of_what_is_approved_goes_on_without_its_approval(registry: GuardedRegistry) -> None:
    registry.versions("churn", 1, in_production=1)
    registry.plain.set_model_version_tag("churn", 1, ModelVersionTag("countersign.request", "12"))
    registry.plain.update_model_version("churn", 1, NOTE)
    copy = registry.guarded.copy_model_version(registry.plain.get_model_version("churn", 1), "prod.churn")
    made = registry.plain.get_model_version("prod.churn", copy.version)
    assert (made.tags, made.description, made.current_stage) == ({}, "", "None")


def test_a_prompt_cannot_be_planted_in_a_model(registry: GuardedRegistry) -> None:
    """It would hide every version of the model from MLflow's search, for ever."""
    registry.versions("churn", 1)
    planted = [ModelVersionTag("mlflow.prompt.is_prompt", "true")]
    said = refused(lambda: registry.guarded.create_model_version("churn", "dummy-source", tags=planted))
    assert said.startswith("churn is a model, and a version of it cannot be a prompt.")
    assert len(registry.plain.search_model_versions("name = 'churn'")) == 1


def test_prompts_are_guarded_as_models_are(registry: GuardedRegistry) -> None:
    store = registry.guarded
    store.create_prompt("answer")
    for text in ("Be kind.", "Be brief."):
        store.create_prompt_version("answer", text)
    refused(lambda: store.set_prompt_alias("answer", "champion", 1))
    store.set_prompt_alias("answer", "challenger", 2)
    store.set_prompt_version_tag("answer", 2, "mlflow.prompt.text", "Be very brief.")
    registry.plain.set_registered_model_alias("answer", "champion", 1)
    said = refused(lambda: store.set_prompt_version_tag("answer", 1, "mlflow.prompt.text", "Obey me."))
    assert said.startswith("mlflow.prompt.text cannot be changed on what is @champion.")
    refused(lambda: store.delete_prompt_version("answer", 1))
    refused(lambda: store.delete_prompt("answer"))
    refused(lambda: store.delete_prompt_alias("answer", "champion"))


def test_the_webhook_of_countersign_stays(registry: GuardedRegistry) -> None:
    refused(lambda: registry.guarded.delete_webhook("hook-of-countersign"))
    refused(lambda: registry.guarded.update_webhook("hook-of-countersign", url="https://elsewhere.example"))
    with pytest.raises(MlflowException, match="not found"):
        registry.guarded.delete_webhook("another")


def test_a_granted_change_is_made(registry: GuardedRegistry) -> None:
    registry.versions("churn", 7, in_production=6)
    call = {"name": "churn", "version": "7", "stage": "Production", "archive_existing_versions": True}
    registry.granted("transition_model_version_stage", expect={"stage:Production": [6]}, **call)
    move = {"name": "churn", "alias": "champion", "version": "7"}
    registry.granted("set_registered_model_alias", expect={"alias:champion": [6]}, **move)
    registry.granted("set_model_version_tag", name="churn", version="7", key="countersign.request", value="12")
    registry.granted("update_model_version", name="churn", version="7", description=NOTE)
    made = registry.plain.get_model_version("churn", 7)
    assert (made.current_stage, made.aliases, made.description) == ("Production", ["champion"], NOTE)
    assert made.tags == {"countersign.request": "12"}
    registry.granted("delete_model_version_tag", name="churn", version="7", key="countersign.request")
    registry.granted("delete_registered_model_alias", expect={"alias:champion": [7]}, name="churn", alias="champion")
    assert registry.told == []


def test_holders_are_found_of_a_model_that_mlflows_search_hides(registry: GuardedRegistry) -> None:
    registry.versions("churn", 7, in_production=6)
    registry.plain.set_model_version_tag("churn", 3, ModelVersionTag("mlflow.prompt.is_prompt", "true"))
    assert registry.plain.search_model_versions("name = 'churn'") == []
    refused(lambda: registry.guarded.delete_registered_model("churn"))
    call = {"name": "churn", "version": "7", "stage": "Production", "archive_existing_versions": True}
    said = refused(lambda: registry.granted("transition_model_version_stage", expect={"stage:Production": []}, **call))
    assert "the grant expects no version in Production, MLflow has version 6" in said
    registry.granted("transition_model_version_stage", expect={"stage:Production": [6]}, **call)


@pytest.mark.parametrize("name", ["o'brien", 'the "best"', "a'b\"c", "x' AND name = 'churn"])
def test_holders_are_found_whatever_the_model_is_called(registry: GuardedRegistry, name: str) -> None:
    registry.versions("churn", 1, in_production=1)
    registry.versions(name, 2, in_production=2)
    move = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": True}
    registry.granted("transition_model_version_stage", expect={"stage:Production": [2]}, **move)
    stages = [registry.plain.get_model_version(name, number).current_stage for number in (1, 2)]
    assert stages == ["Production", "Archived"]


def test_a_grant_holds_while_mlflow_is_as_countersign_saw_it(registry: GuardedRegistry) -> None:
    registry.versions("churn", 7, in_production=6)
    registry.plain.transition_model_version_stage("churn", 5, "Production", False)
    call = {"name": "churn", "version": "7", "stage": "Production", "archive_existing_versions": True}
    said = refused(lambda: registry.granted("transition_model_version_stage", expect={"stage:Production": [6]}, **call))
    assert "the grant expects version 6 in Production, MLflow has versions 5, 6" in said
    move = {"name": "churn", "alias": "champion", "version": "7"}
    said = refused(lambda: registry.granted("set_registered_model_alias", expect={"alias:champion": []}, **move))
    assert "the grant expects no version as @champion, MLflow has version 6" in said
    assert registry.plain.get_model_version("churn", 7).current_stage == "None"


def test_a_change_that_is_in_effect_may_be_asked_for_again(registry: GuardedRegistry) -> None:
    """MLflow's client sends a request again whose answer it lost."""
    registry.versions("churn", 7, in_production=6)
    call = {"name": "churn", "version": "7", "stage": "Production", "archive_existing_versions": True}
    for _ in range(2):
        registry.granted("transition_model_version_stage", expect={"stage:Production": [6]}, **call)
    assert registry.plain.get_model_version("churn", 6).current_stage == "Archived"


@pytest.mark.parametrize(
    ("key", "model", "audience", "why"),
    [
        (None, "churn", "mlflow", "the grant is not one of this version of Countersign"),
        (OTHER_KEY, "churn", "mlflow", "the signature is of no key that MLflow trusts"),
        (KEY, "other", "mlflow", "the grant is for another change"),
        (KEY, "churn", "x", "the grant is for another MLflow, 'x'"),
    ],
    ids=["nonsense", "key", "change", "audience"],
)
def test_what_is_no_grant_for_this_is_none(
    registry: GuardedRegistry, key: Ed25519PrivateKey | None, model: str, audience: str, why: str
) -> None:
    """Signed now: a grant of the time when tests were collected has expired."""
    wanted = {"name": model, "alias": "champion"}
    grant = grants.sign(key, "delete_registered_model_alias", wanted, audience=audience) if key else "nonsense"
    registry.versions("churn", 1, in_production=1)
    said = refused(lambda: registry.with_grant(grant, "delete_registered_model_alias", name="churn", alias="champion"))
    assert said.startswith(f"@champion of churn cannot be deleted here: {why}. [gate")


def test_what_is_observed_goes_on_and_is_told(registry: GuardedRegistry) -> None:
    registry.policy = parse(policy_text(rule(mode="observe")), "mlflow")
    registry.versions("churn", 1)
    registry.guarded.transition_model_version_stage("churn", "1", "Production", False)
    assert registry.plain.get_model_version("churn", 1).current_stage == "Production"
    assert [(told["place"], told["mode"]) for told in registry.told] == [("stage:Production", "observe")]


def test_a_probe_is_answered_in_each_mode(registry: GuardedRegistry) -> None:
    registry.policy = parse(policy_text(rule(mode="observe")), "mlflow")
    name = "countersign-probe-1"
    tag, model_tag = ModelVersionTag("countersign.probe", "x"), RegisteredModelTag("countersign.probe", "x")
    for ask in (
        lambda: registry.guarded.set_model_version_tag(name, "1", tag),
        lambda: registry.guarded.set_registered_model_tag(name, model_tag),
    ):
        assert refused(ask).endswith("[gate 0.1 · policy 12 · enforce]")
    assert registry.told == []


def test_what_could_be_a_place_is_closed_while_nothing_is_known(registry: GuardedRegistry) -> None:
    registry.policy = UNKNOWN
    registry.versions("churn", 2)
    store = registry.guarded
    for stage in ("Production", "Staging"):
        refused(lambda stage=stage: store.transition_model_version_stage("churn", "1", stage, False))
    for alias in ("champion", "production", "staging"):
        said = refused(lambda alias=alias: store.set_registered_model_alias("churn", alias, "1"))
        assert "Countersign could not be asked yet which places it guards" in said
    store.set_registered_model_alias("churn", "challenger", "1")
    store.transition_model_version_stage("churn", "1", "Archived", False)


def test_a_method_that_nobody_looked_at_is_refused_without_a_grant(registry: GuardedRegistry, settings: Any) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    class Newer(SqlAlchemyStore):  # type: ignore[misc]
        def promote_everywhere(self, name: str, version: str) -> str:
            return f"{name} {version}"

    gate = store.Gate(settings, lambda: registry.policy, registry.told.append, Once(settings.used))
    registry.guarded.__class__ = store.guarded_class(Newer, gate)
    said = refused(lambda: registry.guarded.promote_everywhere("churn", "7"))
    assert said.startswith("MLflow's promote_everywhere is newer than this gate, which does not know what it changes.")
    assert registry.granted("promote_everywhere", name="churn", version="7") == "churn 7"
    registry.policy = parse(policy_text(rule(mode="observe")), "mlflow")
    assert registry.guarded.promote_everywhere("churn", "7") == "churn 7"
    registry.policy = parse(policy_text(rules=[]), "mlflow")
    assert registry.guarded.promote_everywhere("churn", "7") == "churn 7"


def test_what_holds_a_place_is_read_where_it_is_written(registry: GuardedRegistry, tmp_path: Any) -> None:
    """MLflow may read from a replica, which lags."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    registry.versions("churn", 2)
    shutil.copy(tmp_path / "registry.sqlite3", tmp_path / "replica.sqlite3")
    registry.plain.transition_model_version_stage("churn", 1, "Production", False)
    behind = SqlAlchemyStore(f"sqlite:///{tmp_path}/registry.sqlite3", f"sqlite:///{tmp_path}/replica.sqlite3")
    assert behind.get_model_version("churn", 1).current_stage == "None"
    behind.__class__ = type(registry.guarded)
    refused(lambda: behind.transition_model_version_stage("churn", "1", "Archived", False))
    refused(lambda: behind.delete_model_version("churn", "1"))
    behind.transition_model_version_stage("churn", "2", "Archived", False)


def test_the_operator_weakens_it_and_the_probe_sees_it(registry: GuardedRegistry, settings: Any) -> None:
    registry.versions("churn", 1)

    def probed() -> str:
        tag = ModelVersionTag("countersign.probe", "x")
        return refused(lambda: registry.guarded.set_model_version_tag("countersign-probe-1", "1", tag))

    assert probed().startswith("The tag countersign.probe is written by Countersign alone.")
    assert probed().endswith("[gate 0.1 · policy 12 · enforce]")
    settings.opening.parent.mkdir(parents=True, exist_ok=True)
    settings.opening.write_text(json.dumps({"until": time.time() + 60}))
    assert probed().endswith("· observe]")
    registry.guarded.transition_model_version_stage("churn", "1", "Production", False)
    assert [told["mode"] for told in registry.told] == ["observe"]
    settings.opening.unlink()
    refused(lambda: registry.guarded.transition_model_version_stage("churn", "1", "None", False))

    gate = store.Gate(replace(settings, mode="off"), lambda: registry.policy, registry.told.append, Once(settings.used))
    registry.guarded.__class__ = store.guarded_class(type(registry.plain), gate)
    assert probed().endswith("· off]")
    registry.guarded.transition_model_version_stage("churn", "1", "None", False)
    registry.guarded.set_model_version_tag("churn", "1", ModelVersionTag("countersign.request", "1"))


def test_a_grant_works_once(registry: GuardedRegistry) -> None:
    registry.versions("churn", 7, in_production=6)
    move = {"name": "churn", "alias": "champion", "version": "7"}
    grant = grants.sign(KEY, "set_registered_model_alias", move, audience="mlflow", expect={"alias:champion": [6]})
    for _ in range(2):  # the answer was lost, and the client sends it again
        registry.with_grant(grant, "set_registered_model_alias", **move)
    registry.granted("set_registered_model_alias", expect={"alias:champion": [7]}, **{**move, "version": "6"})
    said = refused(lambda: registry.with_grant(grant, "set_registered_model_alias", **move))
    assert "cannot be made @champion here: the grant was used already." in said


def test_a_grant_for_a_change_that_failed_is_not_used_up(
    registry: GuardedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.versions("churn", 1)
    wanted = {"name": "churn", "version": "9", "key": "countersign.request", "value": "1"}
    grant = grants.sign(KEY, "set_model_version_tag", wanted, audience="mlflow")
    for _ in range(2):
        with pytest.raises(MlflowException, match="not found"):
            registry.with_grant(grant, "set_model_version_tag", **wanted)


def test_what_arrives_while_a_model_is_renamed_does_not_get_along(registry: GuardedRegistry, settings: Any) -> None:
    """Neither a promotion in the sandbox nor a renaming of what holds nothing is refused by itself."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    class Raced(SqlAlchemyStore):  # type: ignore[misc]
        def rename_registered_model(self, name: str, new_name: str) -> Any:
            if name == "sandbox_x":
                registry.plain.transition_model_version_stage("sandbox_x", 1, "Production", False)
            return super().rename_registered_model(name, new_name)

    registry.versions("sandbox_x", 1)
    gate = store.Gate(settings, lambda: registry.policy, registry.told.append, Once(settings.used))
    registry.guarded.__class__ = store.guarded_class(Raced, gate)
    said = refused(lambda: registry.guarded.rename_registered_model("sandbox_x", "churn"))
    assert said.startswith("sandbox_x cannot be renamed to churn while version 1 is Production.")
    assert registry.plain.get_model_version("sandbox_x", 1).current_stage == "Production"
    with pytest.raises(MlflowException, match="not found"):
        registry.plain.get_registered_model("churn")


def test_a_grant_is_for_the_version_that_was_looked_at(registry: GuardedRegistry) -> None:
    """Nothing holds a place yet, so an engineer may delete the model, and make it anew with other files under the
    number that was approved."""
    registry.versions("churn", 1)
    made = int(registry.plain.get_model_version("churn", 1).creation_timestamp)
    move = {"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": True}
    wanted = {"stage:Production": [], "made": [made]}
    time.sleep(0.002)
    registry.guarded.delete_registered_model("churn")
    registry.versions("churn", 1)
    said = refused(lambda: registry.granted("transition_model_version_stage", expect=wanted, **move))
    assert "the grant expects another version 1 than the one that was made since" in said
    made = int(registry.plain.get_model_version("churn", 1).creation_timestamp)
    for _ in range(2):
        registry.granted("transition_model_version_stage", expect={**wanted, "made": [made]}, **move)


def test_a_change_that_was_let_through_does_not_outlast_a_promotion(registry: GuardedRegistry, settings: Any) -> None:
    """It was looked at while its version was nowhere, and must not take it out of Production when it is written."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    is_looked_at, goes_on = threading.Event(), threading.Event()

    class Slow(SqlAlchemyStore):  # type: ignore[misc]
        def transition_model_version_stage(self, name: str, version: str, stage: str, archive: bool) -> Any:
            if stage == "Archived":
                is_looked_at.set()
                assert goes_on.wait(20)
            return super().transition_model_version_stage(name, version, stage, archive)

    registry.versions("churn", 1)
    gate = store.Gate(settings, lambda: registry.policy, registry.told.append, Once(settings.used))
    slow: Any = SqlAlchemyStore(registry.plain.db_uri)
    slow.__class__ = store.guarded_class(Slow, gate)
    move = {"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": True}
    engineer = threading.Thread(target=slow.transition_model_version_stage, args=["churn", "1", "Archived", False])
    worker = threading.Thread(target=lambda: registry.granted("transition_model_version_stage", **move))
    engineer.start()
    assert is_looked_at.wait(20)
    worker.start()
    worker.join(1)
    goes_on.set()
    engineer.join()
    worker.join()
    assert registry.plain.get_model_version("churn", 1).current_stage == "Production"


@pytest.mark.parametrize(
    "call",
    [
        lambda guarded: guarded.set_registered_model_alias("x" * 1001, "champion", "1"),
        lambda guarded: guarded.set_registered_model_alias("churn", "x" * 1001, "1"),
        lambda guarded: guarded.rename_registered_model("churn", "x" * 1001),
        lambda guarded: guarded.set_model_version_tag("churn", "1", ModelVersionTag("countersign." + "x" * 1001, "1")),
        lambda guarded: guarded.set_registered_model_tag(
            "countersign-probe-" + "x" * 1001, RegisteredModelTag("a", "")
        ),
    ],
)
def test_what_no_name_can_be_is_neither_kept_nor_told(registry: GuardedRegistry, call: Any) -> None:
    registry.versions("churn", 1)
    with pytest.raises(MlflowException, match="Names have at most 1000 characters") as caught:
        call(registry.guarded)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert registry.told == []
    assert not registry.policy._remembered


@pytest.mark.parametrize(
    ("operation", "arguments", "is_free"),
    [
        ("create_registered_model", {}, True),
        ("create_model_version", {}, True),
        ("set_registered_model_alias", {"alias": "challenger"}, True),
        ("set_registered_model_alias", {"alias": "Champion"}, False),
        ("delete_registered_model_alias", {"alias": "champion"}, False),
        ("set_model_version_tag", {"key": "team"}, True),
        ("set_model_version_tag", {"key": "Countersign.request"}, False),
        ("delete_model_version_tag", {"key": "mlflow.prompt.text"}, False),
        ("set_registered_model_tag", {"key": "mlflow.prompt.is_prompt"}, False),
        ("transition_model_version_stage", {"stage": "Archived"}, False),
        ("update_model_version", {"description": "text"}, False),
        ("delete_model_version", {}, False),
        ("rename_registered_model", {"new_name": "x"}, False),
    ],
)
def test_what_is_guarded_nowhere_waits_for_nobody(
    registry: GuardedRegistry, operation: str, arguments: dict[str, str], is_free: bool
) -> None:
    call = changes.Call(
        operation,
        {"name": "churn", **arguments},
        changes.Registry(registry.plain, type(registry.plain)),
        registry.policy,
    )
    assert changes.is_free(call) is is_free
