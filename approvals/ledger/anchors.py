"""The chain against heads that were kept where a database owner cannot write, or can at least not sign: checkpoints,
and the tags of promoted versions in MLflow as the mirror has them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from approvals.evidence import OWN_TAG
from approvals.ledger import notes
from approvals.ledger.chain import Link
from approvals.ledger.verdicts import Fault
from approvals.models import AuditEvent, Checkpoint
from approvals.models.defaults import GENESIS
from mirror.models import ModelVersion

HEAD_TAG, CHECKPOINT_TAG = f"{OWN_TAG}ledger_head", f"{OWN_TAG}checkpoint"
PORTION = 500


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was kept. `name` opens a sentence; `forged` says what else than a rewritten past explains it."""

    link: Link
    name: str
    forged: str = ""


def of_table() -> Iterator[Anchor | Fault]:
    """The installation's own checkpoints, in order and each signed."""
    expected = 1
    for kept in Checkpoint.objects.order_by("number").iterator(chunk_size=PORTION):
        if kept.number != expected:
            yield Fault(f"Checkpoint {expected} is missing; {kept.number} follows {expected - 1}.")
            return
        expected += 1
        try:
            (note,) = notes.read(kept.text)
        except notes.BadNote as error:
            yield Fault(str(error))
            return
        except ValueError:
            yield Fault(f"Checkpoint {kept.number} was altered: its text is not one checkpoint.")
            return
        told = (note.sequence, note.hash, note.about.get("number"), note.about.get("at"))
        if told != (kept.sequence, kept.hash, str(kept.number), notes.moment(kept.at)) or not _is_signed_with(kept):
            yield Fault(f"Checkpoint {kept.number} was altered: it is not what its signed text says.")
            return
        yield Anchor(Link(note.sequence, note.hash), str(note))


def _is_signed_with(kept: Checkpoint) -> bool:
    """With the key that the row names, and nothing is in the text beside what is signed."""
    try:
        (note,) = notes.read(kept.text, keys=[kept.key])
    except (notes.BadNote, ValueError):
        return False
    return kept.text == notes.written(note)


def of_texts(texts: Iterable[str]) -> Iterator[Anchor | Fault]:
    """Checkpoints that a person kept elsewhere."""
    for text in texts:
        try:
            for note in notes.read(text):
                yield Anchor(Link(note.sequence, note.hash), f"{note}, which was kept elsewhere,")
        except notes.BadNote as error:
            yield Fault(str(error))


def of_tags() -> Iterator[Anchor | Fault]:
    """What delivery wrote to the versions that it promoted, as the mirror saw it last."""
    tagged = ModelVersion.objects.filter(tags__has_key=HEAD_TAG).select_related("model").order_by("pk")
    for version in tagged.iterator(chunk_size=PORTION):
        where = f"of {version.model.name} version {version.number} in MLflow"
        value = str(version.tags[HEAD_TAG])
        found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", value)
        forged = "or the tag was changed in MLflow"
        if not found:
            yield Fault(f"The tag {HEAD_TAG} {where} names no event: it was changed in MLflow.")
            continue
        yield Anchor(Link(int(found[1]), found[2]), f"The tag {HEAD_TAG} {where}", forged)
        if text := version.tags.get(CHECKPOINT_TAG):
            try:
                for note in notes.read(str(text)):
                    yield Anchor(Link(note.sequence, note.hash), f"The tag {CHECKPOINT_TAG} {where}")
            except notes.BadNote as error:
                yield Fault(f"The tag {CHECKPOINT_TAG} {where} cannot be trusted. {error}")


def first_fault(anchors: Iterable[Anchor | Fault], head: Link) -> Fault | None:
    """Of the faults, the one about the earliest event: what was rewritten there contradicts all that came later too."""
    worst: Fault | None = None
    good = 0
    rows = iter(anchors)
    while portion := list(islice(rows, PORTION)):
        bad, fits = _compare(portion, head)
        good = max([good, *fits])
        for fault in [*(each for each in portion if isinstance(each, Fault)), *bad]:
            if worst is None or _place(fault) < _place(worst):
                worst = fault
    if worst and worst.sequence and 0 < good < worst.sequence:
        return Fault(f"{worst.problem} Up to event {good} it is confirmed.", worst.sequence)
    return worst


def _place(fault: Fault) -> int:
    return 2**63 if fault.sequence is None else fault.sequence


def _compare(portion: Sequence[Anchor | Fault], head: Link) -> tuple[list[Fault], list[int]]:
    anchors = [each for each in portion if isinstance(each, Anchor)]
    numbers = {anchor.link.sequence for anchor in anchors}
    hashes = dict(AuditEvent.objects.filter(sequence__in=numbers).values_list("sequence", "hash"))
    hashes[0] = GENESIS
    bad, fits = [], []
    for anchor in anchors:
        sequence, kept = anchor.link.sequence, anchor.link.hash
        if hashes.get(sequence) == kept:
            fits.append(sequence)
            continue
        if sequence not in hashes:
            what = f"knows event {sequence}, but the ledger ends at event {head.sequence}: its end was cut off"
        else:
            has = f"event {sequence} has the hash {kept[:12]}…, but the ledger has {hashes[sequence][:12]}… there"
            what = f"says that {has}: the ledger was rewritten, from event {sequence} or an earlier one on"
        bad.append(Fault(f"{anchor.name} {what}{', ' + anchor.forged if anchor.forged else ''}.", sequence))
    return bad, fits
