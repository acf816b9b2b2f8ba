"""Rows: the model list, a model and a version beside MLflow's own endpoints for the same rows, like for like.

Both answer through a gunicorn as the Dockerfile starts it, turn by turn; what MLflow's pages ask more than once counts
together.
"""

import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from urllib.parse import quote, urlencode, urlsplit

from bench import people
from bench.parts import Run
from bench.report import Row, medians
from registry_ui.demo.processes import Supervisor
from registry_ui.views.registry import MODELS_PER_PAGE, VERSIONS_PER_PAGE
from tests.support.mlflow_server import free_port

ROUNDS = 40
BAR = 1.5


def rows(run: Run) -> Iterator[Row]:
    from bench.browser import signed_in_client

    web = people._web(run.folder, port := free_port())
    if run.is_small:  # each worker takes seconds to start
        at = web.command.index("--workers") + 1
        web.command = [*web.command[:at], "1", *web.command[at + 1 :]]
    cookies = signed_in_client().cookies
    with Supervisor(run.folder / "web") as supervisor:
        supervisor.start(web)
        supervisor.wait_until_ready(web)
        signed_in = {"Cookie": "; ".join(f"{name}={each.value}" for name, each in cookies.items())}
        with closing(Client(port, signed_in)) as ours, closing(Client(urlsplit(run.mlflow).port, {})) as theirs:
            yield from _rows(ours, theirs, rounds=2 if run.is_small else ROUNDS)


def _rows(ours: "Client", theirs: "Client", *, rounds: int) -> Iterator[Row]:
    name, number = "model_00007", 49
    models = ("registered-models/search", {"max_results": MODELS_PER_PAGE, "order_by": "last_updated_timestamp DESC"})
    model = ("registered-models/get", {"name": name})
    found = {"filter": f"name='{name}'", "max_results": VERSIONS_PER_PAGE, "order_by": "version_number DESC"}
    versions, version = ("model-versions/search", found), ("model-versions/get", {"name": name, "version": number})
    compared = {
        f"model list, {MODELS_PER_PAGE} rows": ("/models/", [models]),
        f"model page, {VERSIONS_PER_PAGE} versions": (f"/models/{quote(name)}/", [model, versions]),
        "version page": (f"/models/{quote(name)}/versions/{number}/", [model, version]),
    }
    for what, (path, calls) in compared.items():
        addresses = [f"/ajax-api/2.0/mlflow/{call}?{urlencode(values)}" for call, values in calls]
        measured, limit = medians(*_in_turn(ours, [path], theirs, addresses), rounds=rounds)
        asked = " + ".join(call for call, _ in calls)
        yield Row(f"{what}, beside MLflow's", measured, limit, bar=BAR, note=f"Limit: {asked}.")


def _in_turn(
    ours: "Client", paths: list[str], theirs: "Client", addresses: list[str]
) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: [ours.get(path) for path in paths], lambda: [theirs.get(address) for address in addresses]


class Client:
    """One connection that is kept."""

    def __init__(self, port: int | None, headers: Mapping[str, str]) -> None:
        self._port, self._headers = port, headers
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        self._link.close()

    def get(self, path: str) -> bytes:
        try:
            return self._get(path)
        except (http.client.RemoteDisconnected, ConnectionError):  # the server does not keep it for ever
            self._link.close()
            return self._get(path)

    def _get(self, path: str) -> bytes:
        self._link.request("GET", path, headers=dict(self._headers))
        answer = self._link.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {body[:300]!r}")
        return body
