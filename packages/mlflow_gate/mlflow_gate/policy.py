"""What is guarded: which stage or alias of which model, and how strictly. Pure: text in, answers out.

A policy is a list of rules, and the first rule that fits says how a place is guarded. Countersign signs the text; this
module only reads it.
"""

from __future__ import annotations

import calendar
import json
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mlflow_gate.grants import STAGES

MODES = OFF, OBSERVE, ENFORCE = "off", "observe", "enforce"
"""From weak to strict. What a rule observes goes on, and Countersign is told."""

PROBE, DOCTOR = "countersign-probe-", "countersign-doctor-"
"""Models that are always guarded, so that it can be tried whether the gate stands."""

MARK = re.compile(r"\s*\[gate (?P<version>[^\s\]]+) · policy (?P<serial>\d+) · (?P<mode>\w+)\]\s*$")
"""At the end of each sentence with which the gate refuses, as `mark` writes it: so others know who refused."""

MOST_REMEMBERED = 10_000
DEFAULT_WORKSPACE, ANY_WORKSPACE = "default", "*"


_LATIN = re.compile(r"LATIN (?:SMALL |CAPITAL |LETTER )*(?:LIGATURE )?(?:DOTLESS |LONG )?([A-Z]{1,2})(?: WITH .*)?")


def fold(text: str) -> str:
    """What databases that ignore case, accents or blanks at the end (MySQL, SQL Server) take for the same text. Some
    take ø for o, ħ for h and ı for i, too, which Unicode does not take apart."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(_plain(letter) for letter in letters if not unicodedata.combining(letter))
    return plain.casefold().strip()


def _plain(letter: str) -> str:
    found = None if letter.isascii() else _LATIN.fullmatch(unicodedata.name(letter, ""))
    return found[1].lower() if found else letter


def mark(version: str, serial: int, mode: str) -> str:
    """What MARK finds; the serial is that of the policy."""
    return f"[gate {version} · policy {serial} · {mode}]"


def key_of(place: str) -> str:
    """`stage:Production` and `alias:Champion` in the one spelling in which places are compared."""
    kind, _, name = place.partition(":")
    return f"{kind}:{fold(name)}"


@dataclass(frozen=True)
class Rule:
    models: tuple[str, ...]
    """Patterns: * is any text, ? one character; case counts."""
    places: tuple[str, ...]
    """`stage:Production`, `alias:champion`."""
    mode: str
    words: str
    """What a change needs, as part of a sentence: "it needs two approvals"."""
    excepted: tuple[str, ...] = ()
    workspace: str = DEFAULT_WORKSPACE
    """Of MLflow, whose only one is the default one where workspaces are off."""

    def applies(self, workspace: str, model: str) -> bool:
        return (
            self.workspace in (workspace, ANY_WORKSPACE)
            and any(matches(pattern, model) for pattern in self.models)
            and not any(matches(pattern, model) for pattern in self.excepted)
        )


@dataclass(frozen=True)
class Sealed:
    """A folder of files that may not be changed, and whose they are."""

    folder: str
    model: str
    version: int


@dataclass(frozen=True)
class Guarded:
    place: str
    rule: Rule


@dataclass(frozen=True)
class Policy:
    serial: int
    """Rises with each change, so that an older policy is known as such; 0 when nothing is known."""
    issued_at: str
    rules: tuple[Rule, ...]
    sealed: tuple[Sealed, ...] = ()
    webhooks: frozenset[str] = frozenset()
    """Those by which MLflow tells Countersign what changed."""
    probe: str = PROBE
    doctor: str = DOCTOR
    _remembered: dict[tuple[str, str], Mapping[str, Guarded]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def signed_at(self) -> float:
        """Seconds since the epoch; 0 when it does not say."""
        try:
            return calendar.timegm(time.strptime(self.issued_at, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            return 0.0

    def guarded(self, workspace: str, model: str) -> Mapping[str, Guarded]:
        """The places of one model that are guarded, by `key_of`."""
        asked = (workspace, model)
        found = self._remembered.get(asked)
        if found is None:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[asked] = self._find(workspace, model)
        return found

    def facts(self, workspace: str, model: str) -> Rule | None:
        """How strictly what Countersign itself writes on this model's versions is guarded: as the strictest of its
        places."""
        return _strictest(guarded.rule for guarded in self.guarded(workspace, model).values())

    @property
    def strictest(self) -> Rule | None:
        """For what belongs to no model."""
        return _strictest(self.rules)

    def names(self, place: str) -> bool:
        """Whether this place is guarded on any model. If not, a change goes on without anything being read."""
        return key_of(place) in self._named

    @cached_property
    def _named(self) -> frozenset[str]:
        return frozenset(key_of(place) for rule in (TRIED, *self.rules) for place in rule.places)

    def _find(self, workspace: str, model: str) -> Mapping[str, Guarded]:
        rules = [rule for rule in self.rules if rule.applies(workspace, model)]
        if model.startswith((self.probe, self.doctor)):
            rules.insert(0, TRIED)
        found: dict[str, Guarded] = {}
        for rule in rules:
            for place in rule.places:
                found.setdefault(key_of(place), Guarded(place, rule))
        return found


TRIED = Rule(models=(), places=("stage:Production", "alias:champion"), mode=ENFORCE, words="it is there to be refused")
"""For the models of probe and doctor, before all rules."""

UNKNOWN = Policy(
    serial=0,
    issued_at="",
    rules=(
        Rule(
            models=("*",),
            places=("stage:Production", "stage:Staging", "alias:champion", "alias:production", "alias:staging"),
            mode=ENFORCE,
            words="Countersign could not be asked yet which places it guards",
            workspace=ANY_WORKSPACE,
        ),
    ),
)
"""Until Countersign was reached for the first time: what could be a place is closed, all else goes on."""


def parse(text: bytes, audience: str) -> Policy:
    """The policy that Countersign signed for this MLflow. Raises ValueError."""
    try:
        said = json.loads(text)
        if said["audience"] != audience:
            raise ValueError(f"The policy is for another MLflow, {said['audience']!r}.")
        return Policy(
            serial=int(said["serial"]),
            issued_at=str(said["issued_at"]),
            rules=tuple(_rule(rule) for rule in said["rules"]),
            sealed=tuple(
                Sealed(str(each["folder"]), str(each["model"]), int(each["version"])) for each in said.get("sealed", ())
            ),
            webhooks=frozenset(fold(str(each)) for each in said.get("webhooks", ())),
            probe=str(said.get("probe") or PROBE),
            doctor=str(said.get("doctor") or DOCTOR),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The policy cannot be read: {error!r}.") from error


def _rule(said: Mapping[str, Any]) -> Rule:
    if said["mode"] not in (OBSERVE, ENFORCE):
        raise ValueError(f"The policy has a rule with the mode {said['mode']!r}.")
    stages = [STAGES[str(stage).lower()] for stage in said["stages"]]
    return Rule(
        models=tuple(map(str, said["models"])),
        places=(*(f"stage:{stage}" for stage in stages), *(f"alias:{alias}" for alias in said["aliases"])),
        mode=said["mode"],
        words=str(said["words"]),
        excepted=tuple(map(str, said.get("except", ()))),
        workspace=str(said.get("workspace") or DEFAULT_WORKSPACE),
    )


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name fits, as Countersign's own policies say it. Takes the length of one times that of the
    other, whatever the pattern: a star is tried again one character later."""
    at = place = 0
    star, resume = -1, 0
    while at < len(name):
        if place < len(pattern) and pattern[place] == "*":
            star, resume, place = place, at, place + 1
        elif place < len(pattern) and pattern[place] in ("?", name[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return all(char == "*" for char in pattern[place:])


def _strictest(rules: Iterable[Rule]) -> Rule | None:
    return max(rules, key=lambda rule: MODES.index(rule.mode), default=None)
