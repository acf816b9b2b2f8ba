"""The comparison pages: every section, any two versions, and values of every unpleasant kind."""

import json
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals.models import PromotionRequest, Target
from mirror.models import ModelVersion
from tests.support.comparison_pages import MODEL, OLD_FILES, compare, make_asked, page_of, section, see
from tests.support.factories import (
    PACKAGING,
    make_exhibit,
    make_inspection,
    make_request,
    make_version,
    png,
)
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"
SECTIONS = ("metrics", "chart", "curves", "params", "tags", "texts", "packaging", "data", "files", "exhibits")


@pytest.fixture
def asked(rita: User, remy: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


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


@pytest.mark.each_database
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
    started = time.process_time()
    html = client.get(f"/models/{MODEL}/compare/?a=1&b=2").content.decode()
    assert time.process_time() - started < 3
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
