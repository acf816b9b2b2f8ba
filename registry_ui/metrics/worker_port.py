"""The worker's own metrics on COUNTERSIGN_WORKER_METRICS_PORT: calls of MLflow and tasks, which no other process knows
of. In a thread beside the tasks; of the pool of threads, which is the default."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from django.conf import settings
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from registry_ui.metrics import endpoint, processes, tokens

logger = structlog.get_logger(__name__)


class Answer(BaseHTTPRequestHandler):
    timeout = 10
    """Seconds for which one who says nothing is waited for."""

    def do_GET(self) -> None:
        if self.path != "/metrics":
            self._say(404, b"Only /metrics is here.\n")
        elif not tokens.may_read(self.headers.get("Authorization", "")):
            self._say(401, b"Send COUNTERSIGN_METRICS_TOKEN as a bearer token.\n")
        else:
            self._say(200, endpoint.as_text(processes.collect()), CONTENT_TYPE_PLAIN_0_0_4)

    def _say(self, status: int, content: bytes, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Scrapes are no news."""


def start(**_: Any) -> ThreadingHTTPServer | None:
    """For Celery's signal that a worker is ready; None where no port is set. A port that is taken is a line in the log:
    deliveries matter more."""
    if not settings.WORKER_METRICS_PORT:
        return None
    try:
        server = ThreadingHTTPServer(("", settings.WORKER_METRICS_PORT), Answer)
    except OSError as error:
        logger.error("metrics.no_port", port=settings.WORKER_METRICS_PORT, error=str(error))
        return None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
