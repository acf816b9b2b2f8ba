"""Up to four versions of a model beside each other: baseline, filter, CSV and the large chart."""

import csv
import io
import json
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.policy import MetricRule
from mirror.models import ModelVersion
from tests.support.comparison_pages import (
    MODEL,
    compare,
    make_asked,
    section,
)
from tests.support.factories import (
    make_inspection,
    make_policy,
    make_version,
)
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


@pytest.fixture
def four(production: Target) -> list[ModelVersion]:
    """Version 2 of four holds Production; two hundred metrics, of which a few differ."""
    same = {f"val_same_{number:03}": number / 200 for number in range(196)}
    made = []
    for number, auc in enumerate((0.90, 0.92, 0.91, 0.95), 1):
        figures = {"auc_roc": auc, "val_loss": 0.4 - auc / 10, "val_f1": auc - 0.1, "train_loss": 0.1}
        version = make_version(
            MODEL,
            number,
            metrics=same | figures,
            params={"model.depth": str(number), "model.seed": "1", "lr": "0.1"}
            | ({"extra": "=1+1"} if number == 4 else {}),
        )
        make_inspection(version, curves={"loss": [[0, "1.0"], [1, str(1 - auc)]]})
        made.append(version)
    hold(made[1], production)
    return made


def test_four_versions_stand_beside_the_champion_as_the_baseline(
    client: Client, four: list[ModelVersion], vera: User
) -> None:
    html = compare(client, vera, "?v=1&v=2&v=3&v=4")
    assert "versions 1, 3 and 4 against version 2" in text_of(html)
    metrics = section(html, "metrics")
    assert (
        "auc_roc higher is better 0.92 0.9 −0.02 (−2.2 %) worse 0.91 −0.01 (−1.1 %) worse 0.95 +0.03 (+3.3 %) better"
        in metrics
    )
    assert "val_same_001" not in metrics
    assert "197 unchanged. Show unchanged" in metrics
    params = section(html, "params")
    assert "model.depth changed 2 1 3 4" in params
    assert "extra added – – – =1+1" in params
    assert "3 unchanged" not in params
    assert section(html, "curves").count("Version 4") == 1  # in the legend
    assert 'href="?v=1&amp;v=3&amp;base=2" aria-label="Remove version 4"' in html
    assert 'href="?v=2&amp;v=3&amp;v=4&amp;base=1">Make baseline' in html
    assert "Add version" not in text_of(html)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("", "version 4 against version 2"),
        ("?v=3", "version 3 against version 2"),
        ("?v=2", "version 4 against version 2"),
        ("?v=3&v=4", "version 4 against version 3"),
        ("?v=3&v=4&base=4", "version 3 against version 4"),
        ("?v=4&v=4&base=1", "version 4 against version 1"),
        ("?a=3&b=1", "version 1 against version 3"),
    ],
)
def test_the_address_says_which_versions(
    client: Client, four: list[ModelVersion], vera: User, query: str, title: str
) -> None:
    assert f"{MODEL}: {title}" in text_of(compare(client, vera, query))


def test_a_fifth_version_is_left_out_and_said_so(client: Client, four: list[ModelVersion], vera: User) -> None:
    make_version(MODEL, 5)
    html = compare(client, vera, "?v=1&v=2&v=3&v=4&v=5")
    assert "4 versions fit side by side, so version 5 is left out." in text_of(html)


def test_all_rows_are_shown_by_group_and_filtered_by_text(client: Client, four: list[ModelVersion], vera: User) -> None:
    html = compare(client, vera, "?v=1&v=4&all=1")
    metrics = section(html, "metrics")
    assert metrics.index("auc_roc") < metrics.index("val_ 198") < metrics.index("val_same_00")
    assert "Show all 200" in metrics
    assert "model. 2 model.depth changed" in section(html, "params")
    found = section(compare(client, vera, "?v=1&v=4&all=1&q=LOSS"), "metrics")
    assert ("train_loss" in found, "val_loss" in found, "auc_roc" in found) == (True, True, False)
    assert "Nothing here has “zzz”." in section(compare(client, vera, "?v=1&v=4&all=1&q=zzz"), "params")
    assert "Parameters no match" in section(compare(client, vera, "?v=1&v=4&q=zzz"), "left-out")


def test_the_csv_has_every_row_that_fits_and_runs_nothing(
    client: Client, four: list[ModelVersion], asked_csv: Any, vera: User
) -> None:
    lines = asked_csv(f"/models/{MODEL}/compare/?v=1&v=2&v=4&format=csv")
    assert lines[0] == ["section", "name", "version 2 (baseline)", "version 1", "version 4"]
    assert ["Metrics", "auc_roc", "0.92", "0.9", "0.95"] in lines
    assert ["Parameters", "extra", "", "", "'=1+1"] in lines
    assert not [line for line in lines if line[1].startswith("val_same")]
    assert (
        len([line for line in asked_csv(f"/models/{MODEL}/compare/?v=1&v=4&all=1&format=csv") if line[0] == "Metrics"])
        == 200
    )


@pytest.fixture
def asked_csv(client: Client, vera: User) -> Any:
    def get(address: str) -> list[list[str]]:
        client.force_login(vera)
        answer = client.get(address)
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert answer["Content-Disposition"].startswith('attachment; filename="churn_predictor-')
        return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]

    return get


def told(html: str) -> dict[str, Any]:
    """What the script draws."""
    found = re.search(r'data-plot="([^"]*)"', html)
    assert found
    return dict(json.loads(unescape(found[1])))


def test_the_chart_is_of_the_metric_on_request_by_version_or_by_step(
    client: Client, four: list[ModelVersion], vera: User
) -> None:
    data = told(compare(client, vera, "?v=1&v=2"))
    assert (data["metric"], data["over"]) == ("auc_roc", "version")
    assert data["series"] == [{"name": "auc_roc", "place": 1, "x": [1, 2, 3, 4], "y": [0.9, 0.92, 0.91, 0.95]}]
    assert data["marks"] == [{"x": 1, "name": "compared"}, {"x": 2, "name": "baseline"}]
    html = compare(client, vera, "?v=1&v=4&plot=loss&over=steps")
    assert [(each["name"], each["place"], each["y"]) for each in told(html)["series"]] == [
        ("Version 1", 0, [1.0, 0.1]),
        ("Version 4", 1, [1.0, 0.05]),
    ]
    assert "The axis starts at" not in section(html, "chart")
    html = compare(client, vera, "?v=1&v=2&plot=auc_roc&over=steps")
    assert "auc_roc has no values by step, so its versions are shown." in section(html, "chart")
    assert "The axis starts at 0.9, not at zero." in section(html, "chart")


def test_the_band_is_the_tolerance_around_the_baseline(
    client: Client, four: list[ModelVersion], vera: User, production: Target
) -> None:
    make_policy("*", production, metrics=(MetricRule("auc_roc", "higher", "2 %"),))
    html = compare(client, vera, "?v=2&v=3")
    metrics = section(html, "metrics")
    assert "Metrics of record 1 auc_roc , metric of record higher is better · ±2 % 0.92 0.91 −0.01" in metrics
    assert "within tolerance" in metrics
    band = told(html)["band"]
    assert (round(band["low"], 6), round(band["high"], 6)) == (0.9016, 0.9384)
    assert band["name"] == "Tolerance 2 % around version 2"


def test_the_csv_of_the_chart_has_all_its_values(four: list[ModelVersion], asked_csv: Any) -> None:
    address = f"/models/{MODEL}/compare/?v=1&v=2&format=csv&of=chart&plot="
    assert asked_csv(f"{address}auc_roc")[:3] == [["version", "metric: auc_roc"], ["1", "0.9"], ["2", "0.92"]]
    assert asked_csv(f"{address}loss&over=steps")[0] == ["step", "version 2: loss", "version 1: loss"]


def test_a_version_whose_files_were_not_read_leaves_its_column_empty(
    client: Client, asked: PromotionRequest, vera: User
) -> None:
    make_version(MODEL, 3)
    html = compare(client, vera, "?v=2&v=3&base=1")
    assert "w.skops changed 10 bytes 22222222 12 bytes 33333333 –" in section(html, "files")
    assert "The MLmodel file of version 3 has not been read" in section(html, "packaging")
    assert "age changed long double –" in section(html, "packaging")


def test_queries_of_four_versions_do_not_grow_with_their_metrics(
    client: Client, four: list[ModelVersion], vera: User
) -> None:
    client.force_login(vera)
    counts = []
    for query in ("", "&all=1", "&all=1&show=metrics"):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/models/{MODEL}/compare/?v=1&v=2&v=3&v=4{query}").status_code == 200
        counts.append(len(captured))
    ModelVersion.objects.update(metrics={"auc_roc": 0.9})
    with CaptureQueriesContext(connection) as captured:
        client.get(f"/models/{MODEL}/compare/?v=1&v=2&v=3&v=4")
    assert set(counts) == {len(captured)}
    assert counts[0] <= 31
