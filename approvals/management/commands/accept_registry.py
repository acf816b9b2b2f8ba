"""`manage.py accept_registry --reason …`"""

from approvals import administration
from approvals.management.commands._standstill import StandstillCommand


class Command(StandstillCommand):
    help = "Accept the registry that answered and was refused as the one that is mirrored from now on."
    standstill = administration.REGISTRY
