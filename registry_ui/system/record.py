"""What the record rests on: the ledger, the database's role, and who decides about people's roles."""

from accounts import identity_providers
from approvals import administration
from approvals.models import ChainHead, LedgerCut, Verification
from registry_ui import database_roles
from registry_ui.system.part import BAD, GOOD, SLOW, Part


def database_role() -> Part:
    """Whether the ledger's triggers hold against who runs this."""
    name, role = "Database role", database_roles.running_role()
    if role is None:
        return Part(name, GOOD, "Does not apply", "SQLite has no roles: who can write its file can change all of it.")
    if role.problem:
        return Part(name, SLOW, "Can do too much", role.problem, remedy=role.remedy)
    return Part(
        name, GOOD, "OK", f"{role.name} writes rows and owns no table, so the ledger's triggers hold against it."
    )


def roles(state: identity_providers.State) -> Part:
    """Roles and groups that an identity provider decides about."""
    provider = state.provider
    name, decided = f"Roles from {provider.name}", f"Decides about {', '.join(sorted(provider.decided))}."
    if state.unknown:
        said = f"Groups of {provider.name} are mapped to {', '.join(state.unknown)}: no such role or group here."
        return Part(
            name, BAD, "Unknown group", said, remedy="Add the group under People, or correct the setting …_ROLES."
        )
    if state.keeps_administrator:
        said = f"{provider.name} takes the role administrator from the last person who has it; they keep it."
        return Part(name, BAD, "Administrator kept", said, remedy="Give the role to another person.")
    if state.last_at is None:
        return Part(name, GOOD, "Not used yet", f"{decided} No one has signed in through it yet.")
    if state.was_silent:
        return Part(
            name,
            SLOW,
            "Not sent",
            f"The claim {provider.claim} was missing at the last sign-in, so that person's roles did not change:",
            state.last_at,
            remedy="Check the scope and the claim at the provider: docs/operations.md, Sign-in. Entra ID leaves it out "
            "for people in more than 200 groups.",
        )
    return Part(name, GOOD, "OK", f"{decided} Last sign-in", state.last_at)


def cut() -> list[Part]:
    cut = LedgerCut.objects.open().first()
    if cut is None:
        return []
    return [
        Part(
            "End of the ledger",
            BAD,
            "Cut off",
            f"The ledger ends with event {cut.sequence}, but MLflow has later approvals: an older backup was restored. "
            "Nothing is written to MLflow. Found",
            cut.found_at,
            error=" ".join(cut.evidence),
            remedy="Restore a newer backup if there is one. Otherwise an administrator acknowledges it here or with "
            "manage.py acknowledge_cut: what is in MLflow now stays as it is and is reported. "
            "The steps are in docs/operations.md, Backup and restore.",
            standstill=administration.CUT_LEDGER,
        )
    ]


def ledger() -> Part:
    head = ChainHead.objects.filter(pk=1).first()
    if head is None:
        return Part(
            "Ledger",
            BAD,
            "Without a head",
            "The head of the chain is missing.",
            remedy="Restore the database from a backup.",
        )
    last = Verification.objects.done().first()
    if last and last.problem:
        remedy = "Keep the database as it is. The steps are under History, Ledger."
        return Part("Ledger", BAD, "Broken", last.problem, last.ended_at, remedy=remedy)
    events = "1 event" if head.sequence == 1 else f"{head.sequence:,} events"
    kept = f"{events}; the head is {head.hash[:12]}"
    if last is None:
        return Part("Ledger", SLOW, "Not verified yet", f"{kept}. It has not been verified yet.")
    return Part("Ledger", GOOD, "Intact", f"{kept}; last verified", last.ended_at)
