"""The evidence of the requests of a filled registry: of what is decided as evidence is, of what waits as it would be
now, so that nothing has changed since."""

from collections.abc import Sequence

from approvals import evidence
from approvals.models import Target
from approvals.policy import Rule
from approvals.selectors import rules
from bench.planned import REASON, Asked, Model
from mirror.models import ModelVersion


class Frozen:
    """Freezing takes milliseconds: of what is decided, one is frozen and the others are made after it."""

    def __init__(self, models: Sequence[Model], requests: Sequence[Asked], target: Target, rule: Rule) -> None:
        self._first, self._target = models[0], target
        self._template = self._freeze(self._first, self._first.versions, self._first.champion)
        self.parts = evidence.part_digests(self._template)
        self._rule = evidence.canonical(rule.as_json())
        self._waiting = {}
        for each in requests:
            if each.is_open:
                each.champion = each.model.champion
                self._waiting[each.pk] = frozen = self._freeze(each.model, each.number, each.champion)
                each.fingerprint = evidence.fingerprint(frozen)

    def rule_of(self, asked: Asked) -> str:
        """As JSON."""
        return self._rule.replace(self._first.name, asked.model.name)

    def of(self, asked: Asked) -> str:
        if asked.is_open:
            return self._waiting[asked.pk]
        text = self._template.replace(self._first.name, asked.model.name)
        text = text.replace(f'"number":{self._first.champion},', f'"number":{asked.champion},', 1)
        head, _, tail = text.rpartition(f'"number":{self._first.versions},')
        return f'{head}"number":{asked.number},{tail}'

    def _freeze(self, model: Model, number: int, champion: int) -> str:
        versions = ModelVersion.objects.select_related("model", "inspection")
        return evidence.freeze(
            version=versions.get(pk=model.version_id(number)),
            champion=versions.get(pk=model.version_id(champion)),
            target=self._target,
            rule=rules.rule_for(model.name, self._target),
            justification=REASON,
        )
