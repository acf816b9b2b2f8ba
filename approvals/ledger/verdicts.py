"""What verification says: nothing is wrong, or the first row that is."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not fit, as a sentence for people; `sequence` is the number of the event at fault, where it
    is one."""

    problem: str
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    events: int
    """Events that were verified, from the first on."""

    problem: str = ""
    first_bad: int | None = None
    """Number of the first event that does not fit; None when all do, or when what does not fit is no event."""

    remarks: tuple[str, ...] = ()
    """Sentences on what could not be held against anything."""

    since: int = 0
    """Events up to here were taken as given: a signed checkpoint has the hash."""

    in_database: bool = False
    """The chain is intact on the database's word, and by a sample that was hashed here."""

    head: str = field(default="", compare=False)
    """Hash of the last one, where all fit."""

    @property
    def is_intact(self) -> bool:
        return not self.problem
