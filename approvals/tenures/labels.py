"""How a tenure came about, in words and as one of the few looks that pictures and lists give it."""

from datetime import UTC, datetime

from approvals.models import RequestKind, Tenure

GATE, GLASS, BEFORE, OUTSIDE, IMPORTED = "gate", "glass", "before", "outside", "imported"

LOOKS = {
    GATE: "Through the gate",
    GLASS: "Without approvals (break-glass)",
    OUTSIDE: "Outside the gate",
    BEFORE: "Before the gate",
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
    """Two or three words for a chip: "Promoted", "Rolled back", "Before the gate"."""
    if look(tenure) != GATE:
        return {GLASS: "Break-glass"}.get(look(tenure)) or LOOKS[look(tenure)].removesuffix(" from earlier records")
    if tenure.origin == Tenure.Origin.RESTORED:
        return "Put back"
    return "Rolled back" if _kind(tenure) == RequestKind.ROLLBACK else "Promoted"


def sentence(tenure: Tenure) -> str:
    """What is known of how it began, with a full stop; honest about what is not known."""
    match tenure.origin:
        case Tenure.Origin.FOUND:
            seen = moment(tenure.started_at)
            words = f"Held before Countersign, approver unknown; first seen {seen}, since when is not known."
        case Tenure.Origin.OUTSIDE:
            bound = f", not before {moment(tenure.started_after)}" if tenure.started_after else ""
            words = f"Changed in MLflow without a delivery; seen {moment(tenure.started_at)}{bound}."
        case Tenure.Origin.IMPORTED:
            return _imported(tenure)
        case Tenure.Origin.RESTORED:
            return "Put back by Countersign after a change outside the gate."
        case _:
            return _delivered(tenure)
    return f"{words} Approved afterwards, in request #{tenure.request_id}." if tenure.request_id else words


def _delivered(tenure: Tenure) -> str:
    request = tenure.request
    if request is None or request.kind == RequestKind.PROMOTION:
        return "Promoted through the gate."
    if request.kind == RequestKind.ROLLBACK:
        return "Rolled back to, through the gate."
    if request.kind == RequestKind.BREAK_GLASS:
        verdict = request.get_afterwards_verdict_display().lower()
        after = f"reviewed afterwards: {verdict}" if verdict else "not reviewed afterwards yet"
        return f"Promoted without approvals (break-glass); {after}."
    return f"{request.get_kind_display()}."


def _imported(tenure: Tenure) -> str:
    said = [
        f"{verb} by {who}"
        for verb, who in (("asked for", tenure.requested_by), ("approved", tenure.approved_by))
        if who
    ]
    return f"Imported from earlier records, which say: {' and '.join(said) or 'nobody'}."


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
