"""Which versions the demo trains: estimator, hyperparameters, cutoff, and what their engineer wrote about them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    ndcg_score,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry_ui.demo import datasets
from registry_ui.demo.datasets import Split

TOP = 100
"""How many customers the retention team can call in a month: the k of precision_at_k and ndcg."""


@dataclass(frozen=True)
class Recipe:
    model: str
    number: int
    cutoff: str
    description: str
    params: Mapping[str, Any]
    data: Callable[[str], Split]
    estimator: Callable[..., Any]
    scores: Callable[[Any, Split], dict[str, float]]
    stage: str = ""
    """Where its engineer moved it with MLflow alone, before there was a gate."""
    names_its_data: bool = True
    """Whether the engineer logged where the data and the code come from. One of the demo's models lacks it."""
    has_pictures: bool = True


@dataclass(frozen=True)
class Small:
    """A model of the team beside those that the story is about: two versions, the first in Production from before, and
    for one a third, which no one has requested yet."""

    model: str
    description: str
    columns: tuple[str, ...]
    target: str
    is_amount: bool = False
    strengths: tuple[float, ...] = (1.0, 1.0)
    """Regularisation of each version: C of the logistic regression, alpha of the ridge for an amount."""


SMALL = (
    Small(
        "basket_value",
        "What a customer will spend on the next visit, in euros.",
        ("last_basket", "visits_per_month", "distance_km", "has_app"),
        "euros",
        is_amount=True,
        strengths=(300.0, 1.0),
    ),
    Small(
        "delivery_eta",
        "Minutes until a parcel arrives.",
        ("distance_km", "stops_before", "rain", "is_weekend"),
        "minutes",
        is_amount=True,
    ),
    Small(
        "email_opens",
        "Whether a customer opens the newsletter.",
        ("opened_before", "days_since_visit", "subject_length"),
        "opened",
    ),
    Small(
        "energy_load",
        "Load of a cold store in the next hour, in kilowatts.",
        ("outside_temperature", "door_openings", "fill_level", "is_night"),
        "kilowatts",
        is_amount=True,
        strengths=(1.0, 400.0),
    ),
    Small(
        "fraud_card",
        "Whether a card payment is fraud. Blocks the payment above 0.9.",
        ("amount_ratio", "new_device", "country_changed", "hour_is_odd", "merchant_risk"),
        "is_fraud",
        strengths=(0.002, 1.0),
    ),
    Small(
        "fraud_wire",
        "Whether a wire transfer is fraud. Sends it to the desk.",
        ("amount_ratio", "new_payee", "account_age", "typed_slowly"),
        "is_fraud",
        strengths=(0.01, 1.0),
    ),
    Small(
        "lead_scoring",
        "Whether a lead buys within the quarter.",
        ("pages_seen", "company_size", "asked_for_price"),
        "bought",
        strengths=(1.0, 1.0, 0.05),
    ),
    Small(
        "stock_shrink",
        "Units of an article that vanish from a shop in a month.",
        ("units_in_stock", "shelf_height", "is_small", "staff_on_floor"),
        "units",
        is_amount=True,
        strengths=(500.0, 1.0),
    ),
)

MODEL_DESCRIPTIONS = {
    "churn_predictor": "Which customers will leave next month. The retention team calls the first hundred.",
    "credit_risk": "How likely a loan is to default within a year.",
    "demand_forecast": "Units that a shop will sell on a day.",
    "ticket_router": "Which queue a support ticket belongs to.",
} | {each.model: each.description for each in SMALL}


def ranking(estimator: Any, split: Split) -> dict[str, float]:
    wanted = split.holdout[split.target].to_numpy()
    chance = estimator.predict_proba(split.holdout.drop(columns=split.target))[:, 1]
    first = np.argsort(-chance, kind="stable")[:TOP]
    return {
        "auc_roc": float(roc_auc_score(wanted, chance)),
        "precision_at_k": float(wanted[first].mean()),
        "ndcg": float(ndcg_score([wanted], [chance], k=TOP)),
    }


def default_risk(estimator: Any, split: Split) -> dict[str, float]:
    chance = estimator.predict_proba(split.holdout.drop(columns=split.target))[:, 1]
    wanted = split.holdout[split.target]
    return {"auc_roc": float(roc_auc_score(wanted, chance)), "log_loss": float(log_loss(wanted, chance))}


def regression(estimator: Any, split: Split) -> dict[str, float]:
    wanted = split.holdout[split.target]
    guessed = estimator.predict(split.holdout.drop(columns=split.target))
    return {
        "mae": float(mean_absolute_error(wanted, guessed)),
        "rmse": float(root_mean_squared_error(wanted, guessed)),
        "r2": float(r2_score(wanted, guessed)),
    }


def routing(estimator: Any, split: Split) -> dict[str, float]:
    wanted = split.holdout[split.target]
    guessed = estimator.predict(split.holdout.drop(columns=split.target))
    return {
        "accuracy": float(accuracy_score(wanted, guessed)),
        "f1_macro": float(f1_score(wanted, guessed, average="macro")),
    }


def scaled_logistic(**params: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, **params))


def text_classifier(*, ngram_max: int, **params: Any) -> Any:
    words = ColumnTransformer([("subject", TfidfVectorizer(ngram_range=(1, ngram_max)), "subject")])
    return make_pipeline(words, LogisticRegression(max_iter=500, **params))


def seeded_forest(**params: Any) -> Any:
    return RandomForestClassifier(random_state=7, **params)


def seeded_forest_regressor(**params: Any) -> Any:
    return RandomForestRegressor(random_state=7, **params)


def _churn(number: int, cutoff: str, shape: tuple[int, int, int], description: str, *, stage: str = "") -> Recipe:
    params = dict(zip(("n_estimators", "max_depth", "min_samples_leaf"), shape, strict=True))
    return Recipe("churn_predictor", number, cutoff, description, params, datasets.churn, seeded_forest, ranking, stage)


def _credit(number: int, cutoff: str, c: float, description: str) -> Recipe:
    return Recipe("credit_risk", number, cutoff, description, {"C": c}, datasets.credit, scaled_logistic, default_risk)


def _small(small: Small, seed: int) -> list[Recipe]:
    data = partial(datasets.table, seed=seed, columns=small.columns, target=small.target, is_amount=small.is_amount)
    name, estimator, scores = ("alpha", Ridge, regression) if small.is_amount else ("C", scaled_logistic, default_risk)
    notes = (
        ("2026-07-31", "First version.", "Production"),
        ("2026-10-31", "Three more months of data.", ""),
        ("2026-10-31", "Stronger regularisation, on the same data.", ""),
    )
    return [
        Recipe(small.model, number, cutoff, note, {name: strength}, data, estimator, scores, stage, has_pictures=False)
        for number, ((cutoff, note, stage), strength) in enumerate(zip(notes, small.strengths, strict=False), start=1)
    ]


RECIPES = (
    _churn(1, "2026-04-30", (20, 3, 60), "First forest, to have something to beat."),
    _churn(2, "2026-05-31", (40, 4, 40), "May added; deeper trees."),
    _churn(3, "2026-06-30", (60, 5, 25), "June added; smaller leaves."),
    _churn(4, "2026-07-31", (80, 6, 20), "First month after the price rise.", stage="Production"),
    _churn(5, "2026-08-31", (80, 5, 30), "August added; shallower, so surer of less."),
    _churn(6, "2026-09-30", (120, 8, 10), "Three months of data after the price rise; a larger forest to use it."),
    _churn(
        7,
        "2026-10-31",
        (160, 8, 8),
        "October added, more trees and smaller leaves.\n\n"
        "Measured on the same customers as version 6, who are in no training data.",
    ),
    _credit(1, "2026-08-31", 0.001, "Logistic regression on all six columns."),
    _credit(2, "2026-10-31", 1.0, "Two more months and weaker regularisation."),
    Recipe(
        "demand_forecast",
        1,
        "2026-08-31",
        "Forest over weekday, price, promotion and weather.",
        {"n_estimators": 60, "max_depth": 10, "min_samples_leaf": 4},
        datasets.demand,
        seeded_forest_regressor,
        regression,
        stage="Production",
    ),
    Recipe(
        "demand_forecast",
        2,
        "2026-10-31",
        "A linear model: answers in a tenth of the time.",
        {"alpha": 1.0},
        datasets.demand,
        Ridge,
        regression,
    ),
    Recipe(
        "ticket_router",
        1,
        "2026-10-31",
        "Words and pairs of words.",
        {"C": 2.0, "ngram_max": 2},
        datasets.tickets,
        text_classifier,
        routing,
        names_its_data=False,
    ),
    *(recipe for seed, small in enumerate(SMALL, start=50) for recipe in _small(small, seed)),
)
