"""Freeze windows: added, changed and retired; what they held is looked at again at once."""

from django.utils import timezone

from accounts.models import User
from approvals import policy as rules
from approvals.administration.shared import POLICIES, record, require, valid
from approvals.models import Action, FreezeWindow
from approvals.policy import freezes
from approvals.workflow import Invalid, outbox
from approvals.workflow.verbs import verb


@verb()
def save_freeze(freeze: FreezeWindow, *, by: User | None) -> FreezeWindow:
    """Adds a freeze window, or saves what was changed; unchanged, nothing is recorded. `by` None is the command line.

    Raises NotAllowed, or Invalid (the window makes no sense, the name is taken, nothing could ever be delivered).
    """
    require(by, POLICIES)
    if found := freezes.problems_of(freeze.when):
        raise Invalid(" ".join(found))
    is_new = freeze.pk is None
    before = {} if is_new else FreezeWindow.objects.select_for_update(of=("self",)).get(pk=freeze.pk).as_json()
    after = freeze.as_json()
    if before == after:
        return freeze
    _check_not_endless(freeze)
    with valid("Another person has just added a freeze with this name."):
        freeze.full_clean()
        freeze.save()
    record(
        Action.FREEZE_CREATED if is_new else Action.FREEZE_CHANGED,
        by,
        target_name=after["target"] or "",
        data={"before": before, "after": after},
        rows=[freeze],
    )
    # What it held may be free now; what is not is held again when a worker takes it.
    if not is_new:
        outbox.release(outbox.held().values_list("pk", flat=True))
    return freeze


@verb()
def retire_freeze(freeze: FreezeWindow, *, by: User | None) -> None:
    """Takes a freeze window out of use; what it held is delivered, unless another one holds it. Raises NotAllowed."""
    require(by, POLICIES)
    if FreezeWindow.objects.filter(pk=freeze.pk, retired_at=None).update(retired_at=timezone.now()):
        before = freeze.as_json()
        record(Action.FREEZE_RETIRED, by, target_name=before["target"] or "", data={"before": before}, rows=[freeze])
        outbox.release(outbox.held().values_list("pk", flat=True))


def _check_not_endless(freeze: FreezeWindow) -> None:
    """Raises Invalid when it leaves no free moment together with the other weekly ones, in any of their scopes."""
    if freeze.kind != FreezeWindow.Kind.WEEKLY:
        return
    others = FreezeWindow.objects.current().filter(kind=FreezeWindow.Kind.WEEKLY).exclude(pk=freeze.pk)
    all_of_them = [freeze, *others]
    for scope in all_of_them:
        fitting = [each for each in all_of_them if _includes(each, scope)]
        if freeze in fitting and freezes.is_endless([each.window for each in fitting], timezone.now()):
            names = " and ".join(f"“{each.name}”" for each in fitting if each is not freeze)
            together = f" together with {names}" if names else ""
            raise Invalid(f"This freeze covers the whole week{together}, so nothing could ever be delivered.")


def _includes(freeze: FreezeWindow, scope: FreezeWindow) -> bool:
    is_target = freeze.target_id in (None, scope.target_id)
    return is_target and rules.covers(freeze.model_pattern, scope.model_pattern)
