"""Policies and freezes as one YAML file that can live in version control.

A file says what stands: policies of each target in their order, and freeze windows. What it leaves out of a policy has
its default. `writing` writes it, `reading` reads it strictly and names lines (`nodes` are the pieces), and
`applying` makes what stands equal to it.
"""

from approvals.administration.policy_files.applying import Outcome, apply
from approvals.administration.policy_files.nodes import BadFile
from approvals.administration.policy_files.reading import LARGEST, Document, read
from approvals.administration.policy_files.writing import export

__all__ = ["LARGEST", "BadFile", "Document", "Outcome", "apply", "export", "read"]
