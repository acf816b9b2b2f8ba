import pandas as pd
import pytest

from registry_ui.demo import datasets, pictures
from registry_ui.demo.recipes import RECIPES, Recipe

pytestmark = [pytest.mark.slow, pytest.mark.nodb]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.model}-{recipe.number}")
def test_training_twice_gives_the_same_and_beats_guessing(recipe: Recipe) -> None:
    split = recipe.data(recipe.cutoff)
    assert split.digest == recipe.data(recipe.cutoff).digest
    inputs = split.train.drop(columns=split.target)
    scores = [
        recipe.scores(recipe.estimator(**recipe.params).fit(inputs, split.train[split.target]), split) for _ in range(2)
    ]
    assert scores[0] == scores[1]
    main = next(iter(scores[0].items()))
    share = split.holdout[split.target]
    guess = {
        "auc_roc": 0.5,
        "accuracy": float(share.value_counts(normalize=True).max()),
        "mae": -float((share - share.mean()).abs().mean()) if share.dtype == float else 0.0,
    }[main[0]]
    assert (-main[1] if main[0] == "mae" else main[1]) > guess


def test_no_customer_of_the_hold_out_is_ever_trained_on() -> None:
    splits = [recipe.data(recipe.cutoff) for recipe in RECIPES if recipe.model == "churn_predictor"]
    for split in splits:
        assert split.train.merge(split.holdout, how="inner").empty
        pd.testing.assert_frame_equal(split.holdout, splits[0].holdout)
    sizes = [len(split.train) for split in splits]
    assert sizes == sorted(set(sizes))
    assert len({split.digest for split in splits}) == len(splits)


def test_the_digest_is_over_the_training_rows_alone() -> None:
    split = datasets.churn("2026-04-30")
    other = datasets.Split(split.train.assign(tenure_months=1.0), split.holdout, split.target)
    assert other.digest != split.digest
    assert datasets.Split(split.train, split.holdout.head(1), split.target).digest == split.digest


def test_versions_of_a_model_are_numbered_without_a_gap_in_the_order_of_training() -> None:
    for model in {recipe.model for recipe in RECIPES}:
        numbers = [recipe.number for recipe in RECIPES if recipe.model == model]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_forest_shows_how_it_grew_and_ends_where_its_metric_is() -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.model == "churn_predictor")
    split = recipe.data(recipe.cutoff)
    forest = recipe.estimator(**recipe.params).fit(split.train.drop(columns=split.target), split.train[split.target])
    inputs, wanted = split.holdout.drop(columns=split.target), split.holdout[split.target]
    points = pictures.curve(forest, inputs, wanted)
    assert [trees for trees, _ in points] == list(range(4, recipe.params["n_estimators"] + 1, 4))
    assert points[-1][1] == pytest.approx(recipe.scores(forest, split)["auc_roc"])
