"""The sample that nobody can choose, and the archive that a stranger can check with what stands in it."""

import csv
import gc
import hashlib
import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from approvals import ledger
from approvals.audit import archive, dossier, sampling, units
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.audit.sampling import Sample
from approvals.models import AuditEvent, PromotionRequest, Target, Tenure
from mirror.models import Exhibit
from registry_ui import COLLECTED_AFTER
from tests.support.factories import make_exhibit, make_inspection, make_policy, make_request, make_version, png
from tests.support.pages import text_of
from tests.support.world import around_now, bypass, settle


@pytest.fixture
def changed(db: None, rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, (1, None))
    for number in range(5):
        version = make_version("churn")
        make_inspection(version)
        make_exhibit(version, "figures/roc.png", png(number))
        make_exhibit(version, "tables/<b>odd name.csv", b"a,b\n1,2\n")
        settle(make_request(version, production, by=rita), remy)
    bypass(make_version("churn"), production, "@champion")


# --- Sample


@given(seed=st.text(max_size=80), ids=st.sets(st.integers(1, 10_000), max_size=60), size=st.integers(1, 70))
def test_the_sample_is_what_the_documented_rule_gives(seed: str, ids: set[int], size: int) -> None:
    names = [f"start-{each}" for each in ids]
    try:
        seed.encode()
    except UnicodeEncodeError:
        return
    by_hand = sorted(names, key=lambda name: hashlib.sha256((seed + ":" + name).encode()).hexdigest())[:size]
    assert sampling.pick(seed, names, size) == by_hand
    assert sampling.pick(seed, reversed(names), size) == by_hand


def test_the_sample_is_repeatable_and_another_seed_gives_another(changed: None) -> None:
    scope = around_now()
    first, again = (sampling.draw(scope, seed="apple", size=5) for _ in range(2))
    assert first == again
    assert sampling.draw(scope, seed="pear", size=5).ids != first.ids
    assert set(sampling.draw(scope, size=500).ids) == {change for _, change in units.keys(scope)}
    assert first.ids == sampling.draw(scope, seed="apple", size=7).ids[:5]


def test_every_change_is_drawn_about_as_often_as_another(changed: None) -> None:
    scope = around_now()
    ids = [change for _, change in units.keys(scope)]
    drawn = [sampling.pick(str(seed), ids, 1)[0] for seed in range(100 * len(ids))]
    assert all(50 <= drawn.count(each) <= 160 for each in ids)  # 100 each, were it exact


def test_the_default_seed_is_the_end_of_the_chain_at_the_periods_end(changed: None) -> None:
    last = AuditEvent.objects.order_by("-sequence")[0]
    middle = AuditEvent.objects.get(sequence=last.sequence // 2)
    after = Scope(Period(middle.at - timedelta(days=1), middle.at + timedelta(microseconds=1)))
    assert sampling.default_seed(after) == middle.hash
    assert sampling.default_seed(around_now()) == last.hash
    assert sampling.draw(around_now()).is_default_seed
    assert not sampling.draw(around_now(), seed="mine").is_default_seed


@pytest.mark.django_db
@pytest.mark.parametrize("size", [0, sampling.LARGEST + 1])
def test_a_sample_is_bounded(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 500"):
        sampling.draw(around_now(), size=size)


# --- Archive


def unpack(sample: Sample, scope: Scope) -> zipfile.ZipFile:
    body = b"".join(archive.stream(scope, sample, at=timezone.now(), by="Vera Holm <vera@example.com>"))
    packed = zipfile.ZipFile(io.BytesIO(body))
    assert packed.testzip() is None
    return packed


def test_the_manifest_fits_every_file(changed: None) -> None:
    packed = unpack(sampling.draw(around_now(), size=4), around_now())
    lines = packed.read("MANIFEST.sha256").decode().splitlines()
    told = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    assert set(told) == set(packed.namelist()) - {"MANIFEST.sha256"}
    assert all(hashlib.sha256(packed.read(name)).hexdigest() == digest for name, digest in told.items())


def test_the_page_that_opens_the_archive_links_and_sums_every_file(changed: None) -> None:
    sample = sampling.draw(around_now(), size=4)
    packed = unpack(sample, around_now())
    page = packed.read("index.html").decode()
    sums = dict(reversed(line.split("  ", 1)) for line in packed.read("MANIFEST.sha256").decode().splitlines())
    assert "index.html" in sums
    linked = {unquote(address) for address in re.findall(r'href="([^"]+)"', page)}
    assert linked == set(packed.namelist()) - {"index.html"}
    assert all(digest in page for name, digest in sums.items() if name != "index.html")
    words = text_of(page)
    assert "Complete: every change is accounted for." in words
    assert "sha256sum -c MANIFEST.sha256" in words
    assert sample.seed in words
    for unit in units.of(sample.ids):
        assert f"{unit.at:%Y-%m-%d %H:%M:%S}" in words
        assert unit.id in words


def test_the_page_of_the_archive_is_plain_escaped_and_in_utc(rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, (1, None))
    User.objects.filter(pk=rita.pk).update(name="<b>Rita</b>")
    rita.refresh_from_db()
    settle(make_request(make_version("<img src=x>"), production, by=rita), remy)
    with timezone.override("Asia/Tokyo"):
        packed = unpack(sampling.draw(around_now(), size=4), around_now())
    page = packed.read("index.html").decode()
    assert "&lt;img src=x&gt;" in page
    assert "<img" not in page
    assert "<b>Rita" not in page
    assert not re.search(r"<script|<link|https?://|@import|url\(", page)
    (unit,) = units.every(around_now())
    assert f"{unit.at:%Y-%m-%d %H:%M:%S}" in page
    assert page.count("<tr>") > 5
    # One delivery of a stage and an alias is one row; its changes are the row's detail.
    assert re.findall(r'<td class="number">(\d+)</td>', page) == ["1"]


def test_an_archive_of_nothing_says_so(db: None) -> None:
    packed = unpack(sampling.draw(around_now()), around_now())
    assert "Nothing changed in this period." in packed.read("index.html").decode()


def test_what_stands_in_the_readme_repeats_the_sample_and_checks_the_hashes(
    changed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two programs are run as they stand."""
    packed = unpack(sampling.draw(around_now(), size=4), around_now())
    packed.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    readme = packed.read("README.txt").decode()
    programs = [
        "\n".join(line[2:] for line in block.splitlines()) for block in re.findall(r"(?:^  .*\n)+", readme, re.M)
    ]
    (draw,) = (each for each in programs if "csv.DictReader" in each)
    (check,) = (each for each in programs if "previous_hash" in each)
    said: list[object] = []
    exec(draw, {"print": said.append})  # noqa: S102
    drawn = [row["unit"] for row in csv.DictReader(io.StringIO(packed.read("sample.csv").decode()))]
    assert said == [drawn]
    ledgers = [name for name in packed.namelist() if name.endswith("events.jsonl")]
    assert len(ledgers) == 4
    for name in ledgers:
        assert packed.read(name)
        monkeypatch.chdir(packed_folder(tmp_path, name))
        exec(check, {})  # noqa: S102
    delivered = next(name for name in ledgers if b"review.approved" in packed.read(name))
    names = json.loads(packed.read(delivered.replace("events.jsonl", "names.json")))
    events = packed.read(delivered).decode()
    assert all(token in events for token in names)
    assert "Rita" not in events
    rita, remy = (next(token for token, name in names.items() if who in name) for who in ("Rita", "Remy"))
    ledger_file = packed_folder(tmp_path, delivered) / "events.jsonl"
    ledger_file.write_text(events.replace(rita, remy, 1))
    monkeypatch.chdir(ledger_file.parent)
    with pytest.raises(AssertionError):
        exec(check, {})  # noqa: S102


def packed_folder(root: Path, name: str) -> Path:
    return (root / name).parent


def test_a_change_has_everything_about_it(changed: None, remy: User) -> None:
    change = next(each for each in units.every(around_now()) if each.cause == "delivery")
    made = dict(dossier.files(change))
    request = PromotionRequest.objects.get(pk=change.request.pk)
    assert made["evidence.json"] == request.evidence.encode()
    assert hashlib.sha256(made["evidence.json"]).hexdigest() == request.fingerprint
    told = json.loads(made["request.json"])
    assert told["evidence"]["sha256"] == request.fingerprint
    assert [(each["by"], each["verdict"]) for each in told["reviews"]] == [(remy.label, "approve")]
    assert [each["outcome"] for each in told["checks"]]
    assert json.loads(made["policy.json"])["version"]["terms"]["slots"][0]["approvals"] == 1
    events = [json.loads(line) for line in made["events.jsonl"].splitlines()]
    assert {event["action"] for event in events} >= {"request.created", "review.approved", "version.promoted"}
    kept = AuditEvent.objects.in_bulk()
    assert all(
        ledger.as_record(kept[each["sequence"]]) | {"hash": kept[each["sequence"]].hash} == each for each in events
    )
    page = made["certificate.html"].decode()
    assert "<script" not in page
    assert "<link" not in page
    assert request.fingerprint in page
    exhibits = {name: content for name, content in made.items() if name.startswith("exhibits/")}
    assert exhibits == {
        "exhibits/01-roc.png": bytes(Exhibit.objects.get(version=request.version, path="figures/roc.png").content),
        "exhibits/02-b-odd-name.csv": b"a,b\n1,2\n",
    }


def test_an_exhibit_that_is_another_by_now_is_listed_not_passed_off(changed: None) -> None:
    change = next(each for each in units.every(around_now()) if each.cause == "delivery")
    make_exhibit(change.request.version, "figures/roc.png", png(200))
    made = dict(dossier.files(change))
    assert "exhibits/01-roc.png" not in made
    assert json.loads(made["exhibits/no-longer-kept.json"])[0]["path"] == "figures/roc.png"


def test_a_change_outside_the_gate_has_its_incident_and_no_certificate(changed: None) -> None:
    change = next(each for each in units.every(around_now()) if each.cause == "incident")
    made = dict(dossier.files(change))
    assert json.loads(made["incident.json"])["after"] == [6]
    assert "certificate.html" not in made
    assert "request.json" not in made
    assert len(json.loads(made["tenures.json"])) == 2


@pytest.fixture
def garbage_is_collected() -> Iterator[None]:
    """As often as in a web process; the suite does it seldom."""
    seldom = gc.get_threshold()
    gc.set_threshold(*COLLECTED_AFTER)
    yield
    gc.set_threshold(*seldom)


@pytest.mark.further  # it is about memory
@pytest.mark.usefixtures("garbage_is_collected")
def test_the_archive_is_made_bit_by_bit(changed: None, rita: User, remy: User, production: Target) -> None:
    """Dozens of changes with a figure of 400 kB each: the whole is never in memory."""
    heavy = make_version("heavy")
    make_inspection(heavy)
    noise = hashlib.shake_256(b"figure").digest(400_000)
    make_exhibit(heavy, "figures/big.png", noise)
    settle(make_request(heavy, production, by=rita), remy)
    begun = Tenure.objects.filter(model_name="heavy").latest("pk")
    fields = {field.attname: getattr(begun, field.attname) for field in Tenure._meta.fields if field.attname != "id"}
    fields |= {"ended_at": timezone.now(), "end": "replaced", "place": "Production"}
    fields |= {"start_sequence": None}  # each a unit by itself
    Tenure.objects.bulk_create(Tenure(**fields) for _ in range(60))
    scope = Scope(around_now().period, "heavy")
    sample = sampling.draw(scope, size=200)
    for _ in archive.stream(scope, sampling.draw(scope, size=1), at=timezone.now(), by="Vera"):
        """What is imported and compiled with the first one stays."""
    tracemalloc.start()
    largest = size = 0
    for part in archive.stream(scope, sample, at=timezone.now(), by="Vera"):
        size += len(part)
        largest = max(largest, len(part))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 20_000_000
    assert largest < 1_000_000
    assert peak < 6_000_000


def test_the_first_bytes_come_before_the_last_are_made(changed: None) -> None:
    parts = archive.stream(around_now(), sampling.draw(around_now(), size=4), at=timezone.now(), by="Vera")
    assert b"README.txt" in b"".join(islice(parts, 3))
