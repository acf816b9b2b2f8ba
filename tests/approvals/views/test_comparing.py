"""The comparison pages: every section, values of every unpleasant kind, and figures and tables from strangers."""

import csv
import io
import json
import re
import time
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.policy import MetricRule
from approvals.views import exhibits
from mirror.models import Exhibit, ModelVersion
from tests.support.factories import (
    PACKAGING,
    make_exhibit,
    make_inspection,
    make_policy,
    make_request,
    make_version,
    png,
)
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"
HOSTILE = "<script>alert(1)</script>"
SECTIONS = ("metrics", "chart", "curves", "params", "tags", "texts", "packaging", "data", "files", "exhibits")

OLD_FILES = {
    "digest": "a" * 64,
    "bytes": 15,
    "count": 2,
    "manifest": [["MLmodel", 5, "1" * 64], ["w.skops", 10, "2" * 64]],
}
NEW_FILES = {
    "digest": "b" * 64,
    "bytes": 2_500_017,
    "count": 3,
    "manifest": [["MLmodel", 5, "1" * 64], ["extra.bin", 2_500_000, "4" * 64], ["w.skops", 12, "3" * 64]],
}


def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": True, **more}


@pytest.fixture
def asked(rita: User, remy: User, production: Target) -> PromotionRequest:
    """Version 1 holds Production; version 2 is asked for, and differs in everything."""
    one = make_version(
        MODEL,
        metrics={"auc_roc": 0.9, "log_loss": 0.3},
        params={"max_depth": "8", "seed": "1", "prompt": "Be brief.\nName the source.\nNever guess."},
        tags={"owner": "risk"},
        description="A forest.\n\nTrained monthly.",
        run={"tags": {"mlflow.note.content": "First try."}, "datasets": [{"name": "churn", "digest": "old1"}]},
    )
    hold(one, production)
    signature = {"inputs": [column("age", "long")], "outputs": [column("chance", "double")], "params": None}
    make_inspection(
        one,
        files=OLD_FILES,
        packaging=PACKAGING | {"signature": signature},
        curves={"loss": [[0, "1.0"], [1, "0.5"], [2, "0.4"]]},
    )
    make_exhibit(one, "figures/roc.png", png(10))
    make_exhibit(one, "errors.csv", b"segment,errors\nA,3\n")
    two = make_version(
        MODEL,
        metrics={"auc_roc": 0.95, "log_loss": 0.4},
        params={"max_depth": "9", "seed": "1", "prompt": "Be brief.\nName every source.\nNever guess."},
        tags={"owner": "growth"},
        description="A larger forest.\n\nTrained monthly.",
        run={"tags": {"mlflow.note.content": "Second try."}, "datasets": [{"name": "churn", "digest": "new1"}]},
    )
    signature = {
        "inputs": [column("age", "double"), column("plan", "string", required=False)],
        "outputs": [column("chance", "double")],
    }
    make_inspection(
        two,
        files=NEW_FILES,
        packaging=PACKAGING | {"signature": signature, "requirements": ["scikit-learn==1.8.0", "numpy"]},
        curves={"loss": [[0, "0.9"], [1, "nan"], [2, "0.3"]]},
    )
    make_exhibit(two, "figures/roc.png", png(200))
    make_exhibit(two, "errors.csv", b"segment,errors\nA,2\nB,<script>alert(3)</script>\n")
    return make_request(two, production, by=rita, justification="Better on segment B.")


def see(client: Client, person: User, address: str) -> str:
    client.force_login(person)
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def page_of(client: Client, person: User, request: PromotionRequest, query: str = "") -> str:
    return see(client, person, f"{request.get_absolute_url()}compare/{query}")


def section(html: str, key: str) -> str:
    """What a person reads in one section."""
    start = html.index(f'<section class="card" id="{key}"')
    return text_of(html[start : html.index("</section>", start)])


# --- Every section ----------------------------------------------------------------------------------------------------


def test_every_part_is_held_against_the_champions(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = page_of(client, remy, asked)
    assert "log_loss lower is better 0.3 0.4 +0.1 (+33.3 %) worse" in section(html, "metrics")
    assert "max_depth changed 8 9" in section(html, "params")
    assert "1 unchanged" in section(html, "params")
    assert "owner changed risk growth" in section(html, "tags")
    texts = section(html, "texts")
    assert "− Taken out: A forest." in texts
    assert "+ Put in: A larger forest." in texts
    assert "Parameter prompt 1 line added, 1 line removed" in texts
    assert "<mark>every</mark>" in html
    packaging = section(html, "packaging")
    assert "age changed long double" in packaging
    assert "plan added – string, optional" in packaging
    assert "Outputs 1, the same" in packaging
    assert "scikit-learn changed ==1.7.2 ==1.8.0" in packaging
    assert "numpy added – any version" in packaging
    assert "churn changed old1 new1" in section(html, "data")
    files = section(html, "files")
    assert "w.skops changed 10 bytes 22222222 12 bytes 33333333" in files
    assert "extra.bin added – 2.5 MB" in files
    assert "Requested, version 2: 3 files, 2.5 MB, digest bbbbbbbb" in files
    assert "style=" not in html


def test_curves_name_both_lines_and_leave_a_gap_where_there_is_no_number(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    html = page_of(client, remy, asked, "?plot=loss&over=steps")
    curves = section(html, "curves")
    assert "loss of version 2 goes from 0.9 at step 0 to 0.3 at step 2, between 0.3 and 0.9." in html
    assert "loss of version 1 goes from 1 at step 0 to 0.4 at step 2" in html
    assert "Version 2: 1 of 3 value is not a finite number, seen as gaps." in curves
    small = html[html.index('id="curves"') :]
    assert small.count('<polyline class="curve-line series-0"') == 1
    assert small.count('class="curve-mark series-1"') >= 2  # both ends of the gap stand alone, so they are marked
    assert small.count('<polyline class="curve-line series-1"') == 0
    chart = section(html, "chart")
    assert "1 0.5 NaN" in chart  # the same as a table
    assert "Version 2: 1 of 3 value is not a finite number, seen as gaps." in chart


def test_the_contents_name_every_section_that_there_is(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = page_of(client, remy, asked)
    contents = html[html.index("On this page") : html.index("</nav>", html.index("On this page"))]
    for key in SECTIONS:
        assert f'href="#{key}"' in contents
        assert f'id="{key}"' in html
    assert "2 differ" in text_of(contents)  # max_depth and the prompt


def test_sections_without_a_difference_are_a_line_each(client: Client, rita: User, vera: User) -> None:
    same = {"params": {"depth": "3", "seed": "1"}, "tags": {}, "description": "A forest."}
    for number, digest in ((1, "a"), (2, "a"), (3, "b")):
        version = make_version(MODEL, number, metrics={"auc_roc": 0.9}, **same)
        make_inspection(version, files=OLD_FILES if number < 3 else None, packaging=PACKAGING)
        make_exhibit(version, "figures/roc.png", png(ord(digest)))
    html = compare(client, vera, "?v=1&v=2&base=1")
    assert [key for key in SECTIONS if f'<section class="card" id="{key}"' in html] == ["metrics", "chart"]
    left = section(html, "left-out")
    assert "No differences Show all Curves none Parameters 2, the same Tags none" in left
    assert "Signature and packaging" in left
    assert "Training data none Files 2, the same Figures and tables 1, the same" in left
    for key in SECTIONS:
        assert html.count(f'id="{key}"') == 1  # links of the request page lead to each
    html = compare(client, vera, "?v=1&v=3&base=1")
    assert "Version 3: They have not been hashed" in section(html, "files")  # not read is not the same
    assert "figures/roc.png" in section(html, "exhibits")
    html = compare(client, vera, "?v=1&v=2&base=1&all=1")
    assert 'id="left-out"' not in html
    assert all(f'<section class="card" id="{key}"' in html for key in SECTIONS)


def test_the_request_page_leads_to_the_sections(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = see(client, remy, asked.get_absolute_url())
    assert f'href="{asked.get_absolute_url()}compare/#packaging"' in html
    text = text_of(html)
    assert "Compare side by side" in text
    assert "Changed: inputs (age changed" not in text
    assert "Changed: inputs (age and plan), requirements (scikit-learn and numpy)." in text
    assert "3 files, 2.5 MB, digest bbbbbbbb." in text
    assert "2 are kept with the evidence." in text
    assert "every review signs it" in text


def test_the_frozen_facts_are_compared_whatever_the_mirror_says_now(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    ModelVersion.objects.update(metrics={"auc_roc": 0.11}, params={"new": "1"}, description="Rewritten.")
    html = page_of(client, remy, asked)
    assert "auc_roc higher is better 0.9 0.95" in section(html, "metrics")
    assert "Rewritten" not in html


def test_without_a_champion_there_is_one_column(client: Client, rita: User, remy: User, production: Target) -> None:
    version = make_version("new_model", description="All **new**.")
    make_inspection(version)
    html = page_of(client, remy, make_request(version, production, by=rita))
    assert "no other version held Production" in text_of(html)
    assert "auc_roc higher is better 0.9 –" in section(html, "metrics")
    assert "<strong>new</strong>" in html
    assert "Champion" not in html


def test_evidence_from_before_there_were_these_parts_is_still_shown(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    frozen = json.loads(asked.evidence)
    later = ("run_description", "datasets", "provenance", "packaging", "files", "exhibits", "contributors")
    frozen["version"] = {key: value for key, value in frozen["version"].items() if key not in later}
    frozen["champion"] = {key: frozen["champion"][key] for key in ("number", "run_id", "metrics", "params")}
    PromotionRequest.objects.filter(pk=asked.pk).update(evidence=json.dumps(frozen))
    html = page_of(client, remy, asked)
    assert "log_loss lower is better 0.3 0.4" in section(html, "metrics")
    assert "They have not been hashed." in section(html, "files")
    assert "max_depth 8 → 9" in text_of(see(client, remy, asked.get_absolute_url()))


# --- Any two versions -------------------------------------------------------------------------------------------------


def test_any_two_versions_of_a_model_are_compared_as_they_are_now(
    client: Client, asked: PromotionRequest, vera: User
) -> None:
    ModelVersion.objects.filter(number=2).update(metrics={"auc_roc": 0.99})
    html = see(client, vera, f"/models/{MODEL}/compare/?a=1&b=2")
    assert "churn_predictor: version 2 against version 1" in text_of(html)
    assert "auc_roc higher is better 0.9 0.99 +0.09 (+10.0 %) better" in section(html, "metrics")
    assert "w.skops changed 10 bytes 22222222 12 bytes 33333333" in section(html, "files")
    turned = see(client, vera, f"/models/{MODEL}/compare/?a=2&b=1")
    assert "−0.09" in section(turned, "metrics")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?a=1&b=2", 200),
        ("?a=x&b=²", 200),
        ("?a=2&b=2", 200),
        ("?a=1&b=99", 404),
        ("?b=99999999999999", 200),
    ],
)
def test_odd_numbers_are_answered(client: Client, asked: PromotionRequest, vera: User, query: str, status: int) -> None:
    client.force_login(vera)
    assert client.get(f"/models/{MODEL}/compare/{query}").status_code == status


def test_a_model_with_one_version_or_none_is_answered(client: Client, vera: User) -> None:
    client.force_login(vera)
    make_version("lonely")
    assert "lonely has no other version to compare with yet" in client.get("/models/lonely/compare/").content.decode()
    ModelVersion.objects.filter(model__name="lonely").delete()
    assert client.get("/models/lonely/compare/").status_code == 404
    assert client.get("/models/unknown/compare/").status_code == 404


def test_the_model_page_and_the_version_page_lead_there(client: Client, asked: PromotionRequest, vera: User) -> None:
    assert f'action="/models/{MODEL}/compare/"' in see(client, vera, f"/models/{MODEL}/")
    assert f'href="/models/{MODEL}/compare/?a=1&amp;b=2"' in see(client, vera, f"/models/{MODEL}/versions/2/")


# --- Up to four -------------------------------------------------------------------------------------------------------


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


def compare(client: Client, person: User, query: str = "") -> str:
    return see(client, person, f"/models/{MODEL}/compare/{query}")


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


# --- Much, large and strange ------------------------------------------------------------------------------------------


def test_numbers_of_every_kind_are_readable(client: Client, rita: User, remy: User, production: Target) -> None:
    hold(make_version(MODEL, metrics={"auc_roc": 0.9, "f1": "Infinity", "loss": 1e308, "mae": 1.0}), production)
    new = {"auc_roc": "NaN", "f1": 0.5, "ndcg": 1e300, "loss": -1e308, "mae": "-Infinity"}
    text = section(
        page_of(client, remy, make_request(make_version(MODEL, metrics=new), production, by=rita)), "metrics"
    )
    assert "auc_roc higher is better 0.9 NaN not comparable" in text
    assert "f1 higher is better ∞ 0.5 not comparable" in text
    assert "ndcg higher is better – 1e300 new" in text
    assert "mae lower is better 1 −∞ not comparable" in text
    assert "loss lower is better 1e308 −1e308" in text


def test_thousands_of_values_and_files_stay_usable(client: Client, rita: User, remy: User, production: Target) -> None:
    old = {f"param_{number:04}": "1" for number in range(2000)}
    metrics = {f"metric_{number:03}": number / 200 for number in range(200)}
    files = [[f"part-{number:05}", 10, "c" * 64] for number in range(10_000)]
    one = make_version(MODEL, params=old, metrics=metrics)
    hold(one, production)
    make_inspection(one, files={"digest": "d" * 64, "bytes": 1, "count": len(files), "manifest": files})
    two = make_version(MODEL, params=old | {"param_1234": "2"}, metrics=metrics)
    curves = {f"metric_{n:03}": [[step, str(step / 7)] for step in range(1000)] for n in range(50)}
    changed = [*files[:-1], ["part-09999", 11, "e" * 64]]
    make_inspection(
        two, files={"digest": "e" * 64, "bytes": 1, "count": len(files), "manifest": changed}, curves=curves
    )
    request = make_request(two, production, by=rita)
    html = page_of(client, remy, request)
    assert "1 of 2,000 differs" in section(html, "params")
    assert "param_1234 changed 1 2" in section(html, "params")
    assert "1,999 unchanged" in section(html, "params")
    assert "param_0000" not in section(html, "params")
    assert "Show all 2,000" in section(page_of(client, remy, request, "?all=1"), "params")
    assert "1 of 10,000 differs" in section(html, "files")
    assert "part-09999 changed 10 bytes cccccccc 11 bytes eeeeeeee" in section(html, "files")
    assert "Show all 50" in section(html, "curves")
    assert len(html) < 600_000
    whole = page_of(client, remy, request, "?all=1&show=params&page=10")
    assert "1,801–2,000 of 2,000" in section(whole, "params")
    assert "param_1999" in section(whole, "params")
    assert "9,801–10,000 of 10,000" in section(page_of(client, remy, request, "?all=1&show=files&page=50"), "files")


def test_a_huge_description_of_the_run_is_compared_in_time(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    line = "The quick brown fox jumps over the lazy dog, number {}.\n"
    text = "".join(line.format(number) for number in range(95_000))
    assert len(text) > 5_000_000
    for part in (text, text.replace("number 40000.", "number forty thousand.")):
        version = make_version(MODEL, run={"tags": {"mlflow.note.content": part}})
        make_inspection(version)
        if version.number == 1:
            hold(version, production)
    client.force_login(remy)
    started = time.perf_counter()
    html = client.get(f"/models/{MODEL}/compare/?a=1&b=2").content.decode()
    assert time.perf_counter() - started < 3
    assert "forty thousand" in section(html, "texts")
    assert "39,998 lines the same" in section(html, "texts")
    request = make_request(ModelVersion.objects.get(number=2), production, by=rita)
    assert len(page_of(client, remy, request)) < 200_000


def test_queries_do_not_grow_with_what_is_compared(
    client: Client, asked: PromotionRequest, rita: User, remy: User, production: Target
) -> None:
    client.force_login(remy)

    def queries(address: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    queries(f"/requests/{asked.pk}/compare/")  # the first time, that it was opened is noted
    few = queries(f"/requests/{asked.pk}/compare/")
    few_free = queries(f"/models/{MODEL}/compare/?a=1&b=2")
    for number in range(20):
        make_version(MODEL, metrics={f"m{n}_auc": n / 9 for n in range(30)})
        make_exhibit(asked.version, f"figures/{number}.png", png(number))
        make_exhibit(asked.version, f"tables/{number}.csv", f"a,b\n{number},2\n".encode())
    assert queries(f"/requests/{asked.pk}/compare/") == few <= 20
    assert queries(f"/models/{MODEL}/compare/?a=1&b=2") == few_free <= 29


def test_hostile_names_and_texts_stay_text(client: Client, rita: User, remy: User, production: Target) -> None:
    values = {HOSTILE: HOSTILE, "long": HOSTILE * 200}
    packaging = PACKAGING | {
        "requirements": [HOSTILE],
        "flavors": {HOSTILE: {HOSTILE: HOSTILE}},
        "input_example": HOSTILE,
    }
    one, two = (
        make_version(
            MODEL,
            metrics={HOSTILE: 0.5, "loss": 1.0},
            params={key: value + str(number) for key, value in values.items()},
            tags=values,
            description=f"{HOSTILE}{number}",
            run={
                "datasets": [{"name": HOSTILE, "digest": HOSTILE}],
                "tags": {"mlflow.note.content": f"{number}{HOSTILE}"},
            },
        )
        for number in (1, 2)
    )
    hold(one, production)
    for each in (one, two):
        make_inspection(
            each,
            packaging=packaging,
            files={"digest": "d" * 64, "bytes": 1, "count": 1, "manifest": [[f"../{HOSTILE}", 1, "e" * 64]]},
            curves={HOSTILE: [[0, "1"], [1, "2"]]},
        )
        make_exhibit(each, f"../../{HOSTILE}.png", png(each.number))
        make_exhibit(each, f"{HOSTILE}.csv", f"{HOSTILE},=cmd()\n{HOSTILE},{each.number}\n".encode())
        make_exhibit(
            each, f"{HOSTILE}.json", json.dumps({"columns": [HOSTILE], "data": [[HOSTILE], [each.number]]}).encode()
        )
    html = page_of(client, remy, make_request(two, production, by=rita))
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") > 20


# --- Figures and tables -----------------------------------------------------------------------------------------------


def address_of(exhibit: Exhibit) -> str:
    return f"/exhibits/{exhibit.pk}/{exhibits.filename_of(exhibit)}"


def test_figures_stand_side_by_side_and_tables_are_read(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = page_of(client, remy, asked)
    for exhibit in Exhibit.objects.filter(kind="image"):
        assert f'<img src="{address_of(exhibit)}" alt="figures/roc.png of version {exhibit.version.number}"' in html
    text = section(html, "exhibits")
    assert "segment errors A 3" in text
    assert "B <script>alert(3)</script>" in text
    assert "<script>alert(3)" not in html


def test_a_figure_that_changed_since_it_was_frozen_is_not_shown(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    changed = make_exhibit(asked.version, "figures/roc.png", png(77))
    make_exhibit(asked.version, "figures/later.png", png(78))
    Exhibit.objects.filter(version=asked.version, path="errors.csv").delete()
    html = page_of(client, remy, asked)
    assert address_of(changed) not in html
    assert "It has changed since it was frozen with the request" in section(html, "exhibits")
    assert "It is no longer there." in section(html, "exhibits")
    assert "later.png" not in html


def test_an_image_is_sent_as_what_it_is_and_nothing_else(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "figures/../r o\"c'.png", png())
    client.force_login(vera)
    answer = client.get(address_of(exhibit))
    assert answer.content == png()
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Content-Disposition"] == f'inline; filename="r-o-c-{exhibit.sha256[:12]}.png"'
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["ETag"] == f'"{exhibit.sha256}"'
    again = client.get(address_of(exhibit), headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(address_of(exhibit)).status_code == 200
    assert client.post(address_of(exhibit)).status_code == 405


def test_a_table_is_a_download_without_a_type_that_opens(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "t.csv", b"<html><script>alert(1)</script></html>")
    client.force_login(vera)
    answer = client.get(address_of(exhibit))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("path", "content", "media_type"),
    [
        ("roc.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/png"),
        ("roc.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        ("roc.html", b"<html></html>", "text/html"),
        ("roc.gif", png(), "image/gif"),
    ],
)
def test_what_is_not_the_image_that_it_says_is_never_sent(
    client: Client, vera: User, path: str, content: bytes, media_type: str
) -> None:
    exhibit = make_exhibit(make_version(MODEL), path, content, media_type=media_type, kind="image")
    client.force_login(vera)
    assert client.get(address_of(exhibit)).status_code == 404


def test_the_address_of_other_bytes_is_another(client: Client, vera: User) -> None:
    exhibit = make_exhibit(make_version(MODEL), "roc.png", png(1))
    old = address_of(exhibit)
    new = address_of(make_exhibit(exhibit.version, "roc.png", png(2)))
    client.force_login(vera)
    assert old != new
    assert client.get(old).status_code == 404
    assert client.get(new).status_code == 200
    assert client.get(f"/exhibits/{exhibit.pk}/anything.html").status_code == 404
    assert client.get("/exhibits/999999/roc.png").status_code == 404
