"""README.txt of an archive: what each file is, and how a stranger repeats the sample and checks the hashes."""

from datetime import UTC, datetime

from approvals.audit.completeness import Statement
from approvals.audit.population import Scope
from approvals.audit.sampling import Sample


def text(scope: Scope, sample: Sample, statement: Statement, *, site: str, at: datetime, by: str) -> str:
    origin = "the hash of the last event before the period's end" if sample.is_default_seed else "given by hand"
    sums = "is complete" if statement.adds_up else "IS INCOMPLETE"
    limits = "\n".join(f"  - {each}" for each in statement.limits) or "  - none"
    return _TEMPLATE.format(
        site=site,
        at=f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        by=by,
        period=scope.period.words,
        since=scope.period.since.isoformat(),
        until=scope.period.until.isoformat(),
        model=scope.model_name or "all",
        target=scope.target.name if scope.target else "all",
        total=statement.seen + statement.beside,
        seen=statement.seen,
        delivered=statement.delivered,
        exceptions=statement.exceptions,
        unexplained=statement.unexplained,
        beside=statement.beside,
        sums=sums,
        limits=limits,
        seed=sample.seed,
        origin=origin,
        size=len(sample.ids),
        head=statement.proof.sequence,
        head_hash=statement.proof.hash,
        verified=_verified(statement),
    )


def _verified(statement: Statement) -> str:
    last = statement.proof.verification
    if last is None or last.ended_at is None:
        return "Countersign had not verified the whole ledger when this was made."
    found = f"it found that all {last.events} events fit" if last.is_intact else f"it found a fault. {last.problem}"
    at = f"{last.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"Countersign last verified the whole ledger at {at}: {found.rstrip('.')}. {last.way}"


_TEMPLATE = """\
EVIDENCE FOR AN AUDIT
=====================

Installation   {site}
Made           {at} UTC by {by}
Period         {period} (from {since} up to, not including, {until})
Model          {model}
Target         {target}
Population     {total} rows
Sample         {size} rows

A row is one delivery, put-back or incident with everything that it changed: stage, alias, and what they took from
others. What was found before Countersign or imported has rows of its own.

COMPLETENESS
------------

Seen in MLflow  {seen}
  = delivered                  {delivered}
  + outside Countersign     {exceptions}
  + not explained              {unexplained}
It {sums}. Besides, {beside} rows are no change of the period: found before Countersign, imported, or no longer watched.
What the statement cannot cover:
{limits}

FILES
-----

index.html          start here: the statement, the rows that were drawn with links to the files of each, all checksums
completeness.json   the statement above with all of its numbers, what the watch looked at and when it could not
incidents.json      changes outside Countersign that were seen in the period, each with how it was resolved
population.csv      every delivery and incident of the period that changed what held a target, one row each
sample.csv          the rows that were drawn, each with its rank in the draw and its folder
units/…             one folder for each of them:
  unit.json           the row of the population, and each change of a place under it
  tenures.json        how long the version held the place, and what it replaced
  request.json        who asked and why, reviews, checks with overrides, findings, discussion, when reviewers opened it
  evidence.json       what was decided on, byte for byte as it was frozen: its SHA-256 is "evidence.sha256" in
                      request.json, and each review names the SHA-256 of the evidence that it signed
  policy.json         the rule as it stood for the request, and the version of the policy that it comes from
  events.jsonl        the events of the ledger about it, one JSON object a line, with their hashes; people stand in it
                      as tokens, which the hashes cover
  names.json          whom each of these tokens named when the archive was made; no hash covers the names
  certificate.html    the approval certificate, where all approvals were given
  exhibits/           figures and tables of the run that are part of the evidence
  incident.json       the change outside Countersign, where it was one
MANIFEST.sha256     SHA-256 of every file above; check with: sha256sum -c MANIFEST.sha256

In CSV files a cell that a spreadsheet would run as a formula has an apostrophe in front.

HOW THE SAMPLE IS REPEATED
--------------------------

Seed: {seed}
It is {origin}.

For each row of population.csv, take the text "<seed>:<unit>" (the seed, a colon, the column "unit"), encode it as
UTF-8 and compute its SHA-256 as 64 lower-case hexadecimal digits. Sort the rows by these digits, ascending. The first
{size} are the sample. In Python:

  import csv, hashlib
  rows = csv.DictReader(open("population.csv", encoding="utf-8", newline=""))
  ids = [row["unit"] for row in rows]
  ids.sort(key=lambda unit: hashlib.sha256(("{seed}:" + unit).encode()).hexdigest())
  print(ids[:{size}])

HOW THE HASHES ARE CHECKED
--------------------------

The hash of an event is SHA-256 over the previous hash (64 hexadecimal digits; the first event has zeros) followed by
the event's canonical JSON: every field but "hash", keys sorted, no spaces, UTF-8. In Python:

  import hashlib, json
  for line in open("events.jsonl", encoding="utf-8"):
      event = json.loads(line)
      told = event.pop("hash")
      text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
      assert hashlib.sha256((event["previous_hash"] + text).encode()).hexdigest() == told, event["sequence"]

An archive holds the events of its sample alone, so they do not follow from one another. The chain of all of them ends,
at the end of the period, with event {head} and the hash
{head_hash}
The whole chain is proved by the export of the history, which has every event.
{verified}
"""
