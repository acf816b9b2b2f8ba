"""`manage.py acknowledge_cut --reason …`"""

from approvals import administration
from approvals.management.commands._standstill import StandstillCommand


class Command(StandstillCommand):
    help = "Acknowledge that the ledger was cut off by restoring an older backup, so that deliveries continue."
    standstill = administration.CUT_LEDGER
