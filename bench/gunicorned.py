"""MLflow's server as its command line starts it in gunicorn, with the workers and threads of ours. No Django here."""

import re

from registry_ui.demo.installation import ROOT
from tests.support.mlflow_server import MlflowServer


def ours(name: str) -> str:
    """The number of that name in the file that our gunicorn reads: importing it would begin a server's counts."""
    said = (ROOT / "registry_ui" / "gunicorn.py").read_text()
    return re.findall(rf"^{name} = (\d+)$", said, re.MULTILINE)[0]


class Gunicorned(MlflowServer):
    def _command(self) -> list[str]:
        return [*super()._command(), f"--gunicorn-opts=--threads {ours('threads')} --keep-alive 60"]

    def _can_be_forked(self, command: list[str]) -> bool:  # noqa: ARG002 -- gunicorn's workers are forks too
        return True
