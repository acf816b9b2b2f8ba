"""One part on one database, in the process that `bench.__main__` starts for it: prints its rows as JSON."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bench.parts import PARTS, Run
from bench.record import MARK


def main(told: str) -> None:
    run = Run(**json.loads(told))
    run, part = replace(run, folder=Path(run.folder)), PARTS[run.part]
    with contextlib.ExitStack() as stack:
        broker = "filesystem://"
        if part.servers:
            run, broker = stack.enter_context(_beside(run))
        if part.sets_up:
            from bench.environment import set_up

            set_up(database=run.database, folder=run.folder, mlflow=run.mlflow, broker=broker)
        for row in part.rows(run):
            print(MARK + json.dumps(asdict(row)), flush=True)


@contextlib.contextmanager
def _beside(run: Run) -> Iterator[tuple[Run, str]]:
    """Redis, and what the part may start beside it; gives the broker's URL."""
    from registry_ui.demo.installation import Installation
    from registry_ui.demo.processes import Supervisor

    place = Installation(run.folder, 0, 0)
    place.prepare()
    if not place.redis:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with Supervisor(run.folder / "run") as supervisor:
        redis = place.redis_server(place.redis)
        supervisor.start(redis)
        supervisor.wait_until_ready(redis)
        yield replace(run, place=place, supervisor=supervisor), f"redis+socket://{place.redis_socket}"


if __name__ == "__main__":
    main(sys.argv[1])
