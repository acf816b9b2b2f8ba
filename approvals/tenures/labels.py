"""How a tenure came about, in words and as one of the few looks that pictures and lists give it."""

from datetime import UTC, datetime

from approvals.models import RequestKind, Tenure

GATE, GLASS, BEFORE, OUTSIDE, IMPORTED = "gate", "glass", "before", "outside", "imported"

LOOKS = {
    GATE: "Through Countersign",
    GLASS: "Emergency promotion, not approved",
    OUTSIDE: "Outside Countersign",
    BEFORE: "Before Countersign",
    IMPORTED: "Imported from earlier records",
}
"""Each look and what the legend calls it."""

ICONS = {GATE: "shield-check", GLASS: "alert-triangle", OUTSIDE: "shield-x", BEFORE: "history", IMPORTED: "table"}
COLOURS = {GATE: "green", GLASS: "red", OUTSIDE: "red", BEFORE: "grey", IMPORTED: "violet"}


def look(tenure: Tenure) -> str:
    """By what a tenure is drawn: one of BEFORE, OUTSIDE, IMPORTED, GLASS and GATE."""
    match tenure.origin:
        case Tenure.Origin.FOUND:
            return BEFORE
        case Tenure.Origin.OUTSIDE:
            return OUTSIDE
        case Tenure.Origin.IMPORTED:
            return IMPORTED
        case _:
            return GLASS if _kind(tenure) == RequestKind.BREAK_GLASS else GATE


def short(tenure: Tenure) -> str:
    """Two or three words for a chip: "Promoted", "Rolled back", "Before Countersign"."""
    if look(tenure) != GATE:
        return {GLASS: "Emergency"}.get(look(tenure)) or LOOKS[look(tenure)].removesuffix(" from earlier records")
    if tenure.origin == Tenure.Origin.RESTORED:
        return "Restored"
    return "Rolled back" if _kind(tenure) == RequestKind.ROLLBACK else "Promoted"


def sentence(tenure: Tenure) -> str:
    """What is known of how it began, with a full stop; honest about what is not known."""
    match tenure.origin:
        case Tenure.Origin.FOUND:
            seen = moment(tenure.started_at)
            words = f"Held before Countersign, approver unknown; first seen {seen}, since when is not known."
        case Tenure.Origin.OUTSIDE:
            bound = f", not before {moment(tenure.started_after)}" if tenure.started_after else ""
            words = f"Changed outside Countersign; seen {moment(tenure.started_at)}{bound}."
        case Tenure.Origin.IMPORTED:
            return _imported(tenure)
        case Tenure.Origin.RESTORED:
            return "Restored by Countersign after a change outside Countersign."
        case _:
            return _delivered(tenure)
    return f"{words} Approved afterwards, in request #{tenure.request_id}." if tenure.request_id else words


def _delivered(tenure: Tenure) -> str:
    request = tenure.request
    if request is None or request.kind == RequestKind.PROMOTION:
        return "Promoted through Countersign."
    if request.kind == RequestKind.ROLLBACK:
        return "Rolled back through Countersign."
    if request.kind == RequestKind.BREAK_GLASS:
        verdict = request.get_afterwards_verdict_display().lower()
        after = f"reviewed afterwards: {verdict}" if verdict else "not reviewed afterwards yet"
        return f"Emergency promotion without approval; {after}."
    return f"{request.get_kind_display()}."


def _imported(tenure: Tenure) -> str:
    said = [
        f"{verb} by {who}"
        for verb, who in (("requested", tenure.requested_by), ("approved", tenure.approved_by))
        if who
    ]
    return f"Imported from earlier records: {' and '.join(said) or 'no people named'}."


def ending(tenure: Tenure) -> str:
    """How it ended, with a full stop; "" while it runs."""
    if not tenure.end:
        return ""
    bound = f", not before {moment(tenure.ended_after)}" if tenure.ended_after else ""
    return f"{tenure.get_end_display()}{bound}."


def moment(at: datetime) -> str:
    """`2026-11-23 12:04 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _kind(tenure: Tenure) -> str:
    return tenure.request.kind if tenure.request else ""
