"""Incidents in sentences, for the pages and for notifications. Pure but for the relations that are loaded."""

from datetime import UTC, datetime

from approvals.models import Incident


def numbers(of: list[int]) -> str:
    """`version 6`, `versions 6 and 8`, `nothing`."""
    if not of:
        return "nothing"
    words = [str(number) for number in of]
    return f"version {words[0]}" if len(words) == 1 else f"versions {', '.join(words[:-1])} and {words[-1]}"


def title(incident: Incident) -> str:
    """What was changed, in a few words and without a full stop."""
    name, place = incident.model_name, incident.place
    match Incident.Kind(incident.kind):
        case Incident.Kind.MOVED:
            return f"{place} of {name} went from {numbers(incident.before)} to {numbers(incident.after)}"
        case Incident.Kind.DELETED:
            gone = [number for number in incident.before if number not in incident.after]
            return f"{numbers(gone).capitalize()} of {name}, in {place}, was deleted in MLflow"
        case Incident.Kind.EXCHANGED:
            return f"{name}: {numbers(incident.before)} in {place} was replaced by another with the same number"
        case Incident.Kind.RENAMED:
            return f"{incident.details.get('old_name', name)} was renamed to {incident.details.get('new_name', name)}"
        case Incident.Kind.FILES:
            version = incident.details.get("version")
            return f"The files of {name} version {version}, in {place}, have changed"
        case Incident.Kind.PROMPT:
            marked = [] if incident.details.get("is_model") else list(incident.details.get("versions", ()))
            return f"{f'{numbers(marked).capitalize()} of {name}' if marked else name} was marked as a prompt in MLflow"
        case Incident.Kind.HIDDEN:
            return f"MLflow's search hides {name} or its versions"
        case Incident.Kind.UNENFORCED:
            return f"MLflow does not enforce {place}"
        case Incident.Kind.OPENED:
            minutes = incident.details.get("minutes")
            return "MLflow's gate was opened" + (
                f" for {minutes} minute{'' if minutes == 1 else 's'}" if minutes else ""
            )


def notice(incident: Incident) -> str:
    """For the notice on every page, as a sentence."""
    if incident.is_of_all_models:
        return f"{title(incident)}."
    return f"{incident.model_name}: {incident.place} was changed outside Countersign."


def between(incident: Incident) -> str:
    """When it happened, as far as that can be said, as a sentence."""
    if incident.is_of_all_models:
        return f"{incident.details['trouble']} Found at {_moment(incident.seen_at)}."
    seen = f"MLflow showed it at {_moment(incident.seen_at)}"
    if incident.not_before is None:
        return f"{seen}; the time of the change is unknown."
    return f"It happened after {_moment(incident.not_before)}, when MLflow still showed the earlier state. {seen}."


def response(incident: Incident) -> str:
    """What the policy asks for, as a sentence."""
    if incident.kind == Incident.Kind.OPENED:
        return "Review what was changed in MLflow meanwhile; a reviewer or administrator resolves this with a reason."
    if incident.is_of_all_models:
        return "Who runs MLflow starts it with the gate again; then this incident ends."
    match Incident.Response(incident.response):
        case Incident.Response.REPORT:
            return (
                "The policy requires a report: MLflow stays unchanged, and a reviewer or administrator resolves "
                "the incident with a reason."
            )
        case Incident.Response.PUT_BACK:
            return "The policy requires the change to be reverted."
        case Incident.Response.REVIEW:
            return "The policy requires a review: if approved, the change stays; if rejected, Countersign reverts it."


def done(incident: Incident) -> list[str]:
    """What was done about it and what was not, each as a sentence."""
    details = incident.details
    said = [str(details[key]) for key in ("not_put_back", "not_reviewed", "after_review") if details.get(key)]
    if incident.is_owed:
        said.append("Countersign is reverting it." if "began_at" in details else "Countersign is about to revert it.")
    if incident.last_error:
        said.append(incident.last_error)
    if incident.is_owed and incident.last_error:
        tries = "try" if incident.attempts == 1 else "tries"
        said.append(f"After {incident.attempts} {tries}, the next is not before {_moment(incident.available_at)}.")
    if details.get("half_done"):
        said.append(f"The delivery of request #{details['half_done']} stopped halfway; it may have caused this.")
    if details.get("overwritten_by"):
        said.append(f"The delivery of request #{details['overwritten_by']} found this change and continued from there.")
    return said


_STAYS = {
    Incident.Kind.MOVED: "The version stays in place, without an approval.",
    Incident.Kind.EXCHANGED: "The version stays in place, without an approval.",
    Incident.Kind.DELETED: "The deleted version is gone.",
    Incident.Kind.RENAMED: "The approval still applies under the new name.",
    Incident.Kind.FILES: "The files stay unchanged, without an approval.",
    Incident.Kind.PROMPT: "Countersign still reads it by name and number.",
    Incident.Kind.HIDDEN: "Countersign still reads it by name and number.",
    Incident.Kind.OPENED: "What was changed meanwhile is judged on its own.",
    Incident.Kind.UNENFORCED: "The watch still reports each change outside Countersign.",
}


def resolution(incident: Incident) -> str:
    """How it ended, as a sentence; "" while it is open."""
    if not incident.resolution:
        return ""
    match Incident.Resolution(incident.resolution):
        case Incident.Resolution.EXPLAINED:
            return f"Resolved with a reason. {_STAYS[Incident.Kind(incident.kind)]}"
        case Incident.Resolution.PUT_BACK:
            return f"Countersign restored {numbers(incident.approved)}."
        case Incident.Resolution.REVIEWED:
            return "Approved afterwards."
        case Incident.Resolution.UNDONE:
            return "Over." if incident.is_of_all_models else "Changed back in MLflow."
        case Incident.Resolution.SUPERSEDED:
            return "Replaced by a promotion."


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
