"""The doctor: tries as an engineer what must be refused, on a model of its own, and says what is open.

It needs nothing but an address and a person who may register models. What it makes is called `countersign-doctor-…`,
which the gate always guards, and it deletes it in the end. What needs a version in a guarded place, such as deleting
one, it cannot try: it has none, and no business with those of others.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from mlflow_gate import attacks
from mlflow_gate.attacks import FAILED, GOES_ON, OPEN, REFUSED, STOPPED, Answer, Attempt, Mlflow
from mlflow_gate.grants import SKEW
from mlflow_gate.policy import DOCTOR, ENFORCE, MARK, PROBE

PROBES = 8
"""Connections over which it is asked whether the gate is there: MLflow has several processes."""

FILES = "mlflow-artifacts/artifacts"

AGED_MARK = re.compile(rf"(?P<aged>Its policy is .*?\.)?{MARK.pattern}")
"""The gate's mark, and before it how old its policy is, when that is worth a word."""


@dataclass(frozen=True)
class Tried:
    attempt: Attempt
    verdict: str
    answer: Answer


@dataclass(frozen=True)
class Hole:
    """Something that lets people past the gate, or may one day."""

    sentence: str
    is_open: bool = True
    """Whether it lets them past now."""


@dataclass
class Report:
    heading: str
    tried: list[Tried] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What it made and could not delete."""

    @property
    def is_open(self) -> bool:
        """Also when something is stopped that must go on: the gate is not as it should be."""
        return any(each.verdict in (OPEN, STOPPED) for each in self.tried) or any(hole.is_open for hole in self.holes)

    @property
    def is_certain(self) -> bool:
        return all(each.verdict != FAILED for each in self.tried)

    @property
    def text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.heading
        for title, expected in (("Must be refused", REFUSED), ("Must go on", GOES_ON)):
            yield f"\n{title}"
            found = [each for each in self.tried if each.attempt.expected == expected]
            for what in dict.fromkeys(each.attempt.what for each in found):
                yield from _row(what, [each for each in found if each.attempt.what == what])
        yield "\nNot tried: what needs a version in a guarded place, as to delete it or to take it out of there."
        for hole in self.holes:
            yield f"{'OPEN' if hole.is_open else 'Note'}: {hole.sentence}"
        if self.left:
            yield f"Left behind, and to be deleted by hand: {', '.join(self.left)}"
        if self.is_open:
            yield "\nThe gate is not shut."
        else:
            yield (
                "\nNothing is open."
                if self.is_certain
                else "\nNothing was found open, and something could not be told."
            )


def _row(what: str, tried: list[Tried]) -> Iterator[str]:
    counted = Counter(each.verdict for each in tried)
    many = len(tried) > 1
    yield f"  {what:62} " + ", ".join(
        f"{_loud(verdict)}{f' × {count}' if many else ''}" for verdict, count in counted.items()
    )
    forms = [each.attempt.form or "as MLflow's client sends it" for each in tried if each.verdict == OPEN]
    if forms and any(each.verdict == REFUSED for each in tried):
        yield f"      open: {'; '.join(forms)}"
    for each in tried:
        if each.verdict in (STOPPED, FAILED):
            said = " ".join((each.answer.error or each.answer.text).split()) or "nothing"
            yield f"      {each.attempt.form or 'as it is'}: {each.answer.status} {said[:150]}"


def _loud(verdict: str) -> str:
    return verdict.upper() if verdict in (OPEN, STOPPED, FAILED) else verdict


class Doctor:
    def __init__(self, url: str, *, user: str = "", password: str = "") -> None:
        """Raises ValueError for an address that is not one."""
        self._url, self._user = url, user
        self._mlflow = Mlflow(url, user=user, password=password)
        self._anonymous = Mlflow(url)
        self._model = f"{DOCTOR}{secrets.token_hex(4)}"
        self._folder = f"countersign-doctor/{self._model}"
        self._experiment = ""

    def examine(self) -> Report:
        """Raises OSError when MLflow does not answer, and ValueError when this person may not try."""
        version = self._mlflow.send("GET", "/version")
        if version.status == 401:
            raise ValueError("it lets in only who has a user (--user) and its password.")
        if version.status != 200:
            raise ValueError(f"it answers {version.status} where MLflow says its version.")
        who = f"as {self._user}" if self._user else "as nobody in particular"
        report = Report(f"MLflow {version.text.strip()[:20]} at {self._url}, {who}; the model is {self._model}")
        try:
            self._prepare()
            report.holes += [*self._processes(), *self._surroundings(version)]
            report.tried += [self._try(each) for each in attacks.attacks(self._model) if not each.held]
            report.tried += self._files(report.holes)
            report.tried += [self._try(each) for each in attacks.what_goes_on(self._model)]
        finally:
            report.left += self._clean_up()
        return report

    def _prepare(self) -> None:
        for attempt in attacks.preparation(self._model):
            answer = self._mlflow.attempt(attempt)
            if answer.status != 200:
                said = answer.error or answer.text.strip()[:200]
                raise ValueError(f"this person cannot {attempt.what}: {answer.status} {said}")

    def _try(self, attempt: Attempt) -> Tried:
        answer = self._mlflow.attempt(attempt)
        return Tried(attempt, attacks.judge(attempt, answer), answer)

    def _files(self, holes: list[Hole]) -> list[Tried]:
        """Nothing, where MLflow does not hand out files itself. Where its own permissions keep this person to files of
        experiments, one is made for it, and all files around the sealed folder are theirs to delete."""
        within = ""
        free = [self._try(each) for each in attacks.files_that_go_on(self._folder)]
        if free[0].answer.status in (404, 503):
            sentence = "MLflow does not hand out files itself; who may write to their storage can exchange them."
            holes.append(Hole(sentence, is_open=False))
            return []
        if free[0].answer.status == 403 and free[0].verdict == FAILED:
            within = self._make_experiment()
            free = [self._try(each) for each in attacks.files_that_go_on(f"{within}{self._folder}")]
        sealed = attacks.file_attacks(f"{within}{attacks.SEALED}", around=not within)
        tried = [*free, *(self._try(each) for each in sealed)]
        if any(each.verdict == OPEN for each in tried):
            holes.append(Hole("Files are not sealed: put countersign: before the server's --artifacts-destination."))
        return tried

    def _make_experiment(self) -> str:
        """The folder of its files, with a slash; "" when this person cannot make one."""
        made = self._mlflow.call("POST", "mlflow/experiments/create", {"name": self._model})
        try:
            self._experiment = str(json.loads(made.text)["experiment_id"])
        except (ValueError, KeyError, TypeError):
            return ""
        return f"{self._experiment}/"

    def _clean_up(self) -> list[str]:
        names = (self._model, f"{self._model}-renamed", f"{self._model}-copy", attacks.prompt_of(self._model))
        left = [name for name in names if not self._delete("mlflow/registered-models/delete", {"name": name})]
        within = f"{self._experiment}/" if self._experiment else ""
        if any(self._has(f"{FILES}?path={within}{folder}") for folder in (attacks.SEALED, self._folder)):
            self._delete(f"{FILES}/{within}countersign-doctor", {})
        if self._experiment:
            self._delete("mlflow/experiments/delete", {"experiment_id": self._experiment}, "POST")
        return [name for name in left if self._has(f"mlflow/registered-models/get?name={name}", '"name"')]

    def _delete(self, path: str, body: dict[str, str], method: str = "DELETE") -> bool:
        try:
            return self._mlflow.call(method, path, body).status == 200
        except OSError:
            return False

    def _has(self, path: str, word: str = '"path"') -> bool:
        try:
            return word in self._mlflow.call("GET", path).text
        except OSError:
            return False

    # --- What can be seen from outside

    def _processes(self) -> Iterator[Hole]:
        """Whether each of several connections meets the gate."""
        found = [mark for mark in (self._probe() for _ in range(PROBES)) if mark]
        modes, versions = {mark["mode"] for mark in found}, {mark["version"] for mark in found}
        if not found:
            yield Hole("MLflow has no gate: its registry's address does not begin with countersign: there.")
        elif len(found) < PROBES:
            yield Hole(f"{PROBES - len(found)} of {PROBES} connections met no gate: not each process has it.")
        if modes - {ENFORCE}:
            yield Hole(f"The gate does not enforce: it is set to {' and '.join(sorted(modes - {ENFORCE}))}, or open.")
        if len(versions) > 1:
            yield Hole(f"The gate has several versions: {', '.join(sorted(versions))}.", is_open=False)
        if any(mark["serial"] == "0" for mark in found):
            yield Hole("The gate has not reached Countersign yet and knows no policy.", is_open=False)
        aged = next((mark["aged"] for mark in found if mark["aged"]), "")
        if aged:
            yield Hole(f"{aged} Countersign signs it anew each minute.", is_open=False)

    def _probe(self) -> re.Match[str] | None:
        """What the gate says of itself. Changes nothing: there is no such model. Where MLflow's own permissions stand
        before the gate there, it is asked on the doctor's model, which it does not let through either."""
        tag = {"key": "countersign.probe", "value": "x"}
        for model in (f"{PROBE}{secrets.token_hex(4)}", self._model):
            answer = self._mlflow.call("POST", "mlflow/registered-models/set-tag", {"name": model, **tag})
            mark = AGED_MARK.search(answer.error)
            if mark:
                return mark
        return None

    def _surroundings(self, version: Answer) -> Iterator[Hole]:
        search = f"{attacks.API}mlflow/registered-models/search"
        if self._anonymous.send("GET", search).status == 200:
            yield Hole("Whoever reaches MLflow may write to it: it asks nobody who they are.", is_open=False)
        if self._mlflow.send("GET", search, headers={"Host": "countersign-doctor.example"}).status == 200:
            sentence = "MLflow answers under any name (MLFLOW_SERVER_ALLOWED_HOSTS=*, or an older MLflow),"
            yield Hole(f"{sentence} so that a page in somebody's browser may reach it.", is_open=False)
        try:
            skew = abs(parsedate_to_datetime(version.headers["date"]).timestamp() - time.time())
        except (KeyError, TypeError, ValueError):
            return
        if skew > SKEW:
            sentence = f"MLflow's clock and the one here differ by {skew:.0f} s; Countersign's grants allow {SKEW} s."
            yield Hole(sentence, is_open=False)
