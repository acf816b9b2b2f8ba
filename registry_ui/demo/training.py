"""Trains the demo's models and registers them in MLflow, as an engineer's script would. Nothing here knows the gate."""

import subprocess
from collections.abc import Iterator
from importlib.metadata import version as installed
from typing import Any

import mlflow
import mlflow.data
import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from registry_ui.demo import pictures
from registry_ui.demo.installation import ROOT
from registry_ui.demo.recipes import MODEL_DESCRIPTIONS, RECIPES, Recipe

ENGINEER = "rita"

# Named, because MLflow otherwise loads every model once more in a fresh process to find them out.
REQUIREMENTS = [f"{name}=={installed(name)}" for name in ("scikit-learn", "skops", "pandas", "numpy")]
TRUSTED = ["sklearn.tree._tree.Tree"]
"""What skops does not know of a forest by itself."""


def missing(client: MlflowClient) -> list[Recipe]:
    """The recipes whose version is not registered yet. One call makes a version whole, so half of one never counts."""
    have: dict[str, int] = {}
    for version in client.search_model_versions():
        have[version.name] = max(have.get(version.name, 0), int(version.version))
    return [recipe for recipe in RECIPES if recipe.number > have.get(recipe.model, 0)]


def train(client: MlflowClient, recipes: list[Recipe]) -> Iterator[Recipe]:
    """Trains and registers one after the other and yields each before it begins."""
    commit = current_commit()
    for recipe in recipes:
        yield recipe
        _ensure_model(client, recipe.model)
        _train(client, recipe, commit)


def current_commit() -> str:
    """Of the checkout that the training code lies in; "" where it is not one."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def _train(client: MlflowClient, recipe: Recipe, commit: str) -> None:
    split = recipe.data(recipe.cutoff)
    inputs = split.train.drop(columns=split.target)
    provenance: dict[str, Any] = {}
    run_tags = {"mlflow.user": ENGINEER, "mlflow.source.name": "train.py"}
    if recipe.names_its_data:
        provenance = {"training_data_hash": split.digest, "training_cutoff": recipe.cutoff}
        run_tags |= {"mlflow.source.git.commit": commit} if commit else {}
    mlflow.set_experiment(recipe.model)
    with mlflow.start_run(run_name=f"{recipe.model} {recipe.cutoff}", tags=run_tags) as run:
        estimator = recipe.estimator(**recipe.params).fit(inputs, split.train[split.target])
        mlflow.log_params({**recipe.params, **provenance})
        if recipe.has_pictures:
            pictures.log(client, run.info.run_id, estimator, split)
        if recipe.names_its_data:
            rows = mlflow.data.from_pandas(split.train, name=f"{recipe.model}_{recipe.cutoff}", targets=split.target)
            mlflow.log_input(rows, context="training")
        info = mlflow.sklearn.log_model(
            estimator,
            name="model",
            signature=infer_signature(inputs, estimator.predict(inputs)),
            input_example=inputs.head(3),
            pip_requirements=REQUIREMENTS,
            skops_trusted_types=TRUSTED,
        )
        mlflow.log_metrics(recipe.scores(estimator, split), model_id=info.model_id)
    client.create_model_version(
        recipe.model,
        source=info.model_uri,
        run_id=run.info.run_id,
        tags={key: str(value) for key, value in provenance.items()},
        description=recipe.description,
        model_id=info.model_id,
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, tags={"owner": ENGINEER}, description=MODEL_DESCRIPTIONS[name])
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def move_as_before_the_gate(client: MlflowClient) -> None:
    """Stages that engineers set themselves. A version that has moved on since, through Countersign, stays where it
    is."""
    for recipe in RECIPES:
        number = str(recipe.number)
        if recipe.stage and client.get_model_version(recipe.model, number).current_stage == "None":
            client.transition_model_version_stage(recipe.model, number, recipe.stage, archive_existing_versions=True)


def go_round_the_gate(client: MlflowClient) -> None:
    """An engineer puts the version that was just rejected into Production all the same, with MLflow alone."""
    client.transition_model_version_stage("demand_forecast", "2", "Production", archive_existing_versions=True)
