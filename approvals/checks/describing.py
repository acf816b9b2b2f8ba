"""Checks that a version says where it comes from and is in order."""

from datetime import date, datetime

from approvals.checks.kinds import Evidence, Field, Kind, Settings, says


def _provenance(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    missing = [key for key in settings["keys"] if not says(evidence, key)]
    if missing:
        return "fail", f"Nothing says {' and '.join(missing)}: no parameter and no tag."
    return "pass", f"{', '.join(settings['keys'])} {'is' if len(settings['keys']) == 1 else 'are'} known."


def _description(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    length, least = len(evidence["version"].get("description", "").strip()), settings["characters"]
    if length == 0:
        return "fail", "The version has no description."
    if length < least:
        return "fail", f"The description has {length} characters; at least {least} are asked."
    return "pass", f"The description has {length:,} characters."


def _freshness(settings: Settings, evidence: Evidence, today: date) -> tuple[str, str]:
    key, most = settings["key"], settings["days"]
    text = says(evidence, key)
    if not text:
        return "fail", f"Nothing says {key}: no parameter and no tag."
    try:
        cutoff = datetime.fromisoformat(text).date()
    except ValueError:
        return "fail", f"{key} is {text[:60]!r}, which is not a date such as 2026-10-31."
    days = (today - cutoff).days
    if days < 0:
        return "fail", f"{key} is {cutoff}, which is in the future."
    if days > most:
        return "fail", f"The training data ends on {cutoff}, {days} days ago; at most {most} are allowed."
    return "pass", f"The training data ends on {cutoff}, {days} {'day' if days == 1 else 'days'} ago."


def _ready(_: Settings, evidence: Evidence, __: date) -> tuple[str, str]:
    status = evidence["version"].get("status", "")
    return ("pass", "MLflow says READY.") if status == "READY" else ("fail", f"MLflow says {status or 'nothing'}.")


KINDS = (
    Kind(
        key="provenance",
        label="Provenance",
        description="Parameters or tags say where the version comes from.",
        fields=(
            Field(
                "keys",
                "Keys",
                "list",
                default=["training_data_hash", "training_cutoff", "git_commit"],
                help="Names of parameters or tags, separated by commas. MLflow's own Git commit counts as git_commit.",
            ),
        ),
        judge=_provenance,
    ),
    Kind(
        key="description_present",
        label="Description",
        description="The version is described.",
        fields=(Field("characters", "At least so many characters", "integer", default=1, least=1, most=5000),),
        judge=_description,
    ),
    Kind(
        key="data_freshness",
        label="Fresh training data",
        description="The training data does not end too long ago.",
        fields=(
            Field("key", "Parameter or tag with the date", "text", default="training_cutoff"),
            Field("days", "At most so many days old", "integer", default=90, least=0, most=36_500),
        ),
        judge=_freshness,
    ),
    Kind(
        key="version_ready",
        label="Ready in MLflow",
        description="MLflow says that the version is READY.",
        fields=(),
        judge=_ready,
    ),
)
