"""What machines do before review: read the files, run the checks, call external ones."""

from approvals.assessment.running import MOST_FAILURES, assess, drain, reread, watch

__all__ = ["MOST_FAILURES", "assess", "drain", "reread", "watch"]
