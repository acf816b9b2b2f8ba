"""What reviewers decide on: the frozen document, the comparison with the holder, the note that an approval leaves."""

from approvals.evidence.document import (
    OWN_TAG,
    as_before,
    canonical,
    changed_parts,
    differences,
    fingerprint,
    freeze,
    is_early,
    part_digests,
    version_facts,
)

__all__ = [
    "OWN_TAG",
    "as_before",
    "canonical",
    "changed_parts",
    "differences",
    "fingerprint",
    "freeze",
    "is_early",
    "part_digests",
    "version_facts",
]
