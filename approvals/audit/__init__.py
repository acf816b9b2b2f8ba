"""Evidence for an audit. Reads; the only trace that it leaves is the event of an export, which `administration` writes.

`population` is every change of what held a target in a period, `completeness` says whether all of them are explained
and what is not known, `sampling` picks some that no one could choose, `archive` packs everything about them (`dossier`
is one change, `readme` the words). `replay` and `access` answer who could approve what at a moment, `reviews` how
people review.
"""
