"""One part on one database, in the process that `bench.__main__` starts for it: prints its rows as JSON."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bench.parts import PARTS, Part, Run
from bench.record import MARK


def main(told: str) -> None:
    run = Run(**json.loads(told))
    run, part = replace(run, folder=Path(run.folder)), PARTS[run.part]
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        broker = "filesystem://"
        if part.servers:
            run, broker = stack.enter_context(_servers(run, part))
        if part.sets_up:
            from bench.environment import set_up

            set_up(database=run.database, folder=run.folder, mlflow=run.mlflow, broker=broker)
        for row in part.rows(run):
            print(MARK + json.dumps(asdict(row)), flush=True)


@contextlib.contextmanager
def _servers(run: Run, part: Part) -> Iterator[tuple[Run, str]]:
    """An MLflow with models in it, and Redis; gives the broker's URL."""
    from bench import registry_data
    from registry_ui.demo.installation import Installation
    from registry_ui.demo.processes import Supervisor
    from tests.support.mlflow_server import MlflowServer

    place = Installation(run.folder, 0, 0)
    place.prepare()
    if not place.redis:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    models, each = part.models
    models = part.small_models if run.is_small else models
    with MlflowServer(run.folder / "mlflow") as server, Supervisor(run.folder / "run") as supervisor:
        redis = place.redis_server(place.redis)
        supervisor.start(redis)
        supervisor.wait_until_ready(redis)
        registry_data.fill(run.folder / "mlflow" / "mlflow.sqlite3", models=models, versions_each=each)
        yield (
            replace(run, mlflow=server.url, place=place, supervisor=supervisor),
            f"redis+socket://{place.redis_socket}",
        )


if __name__ == "__main__":
    main(sys.argv[1])
