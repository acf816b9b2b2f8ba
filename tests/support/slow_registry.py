"""A proxy on loopback before a real MLflow server that takes its time for every call."""

import contextlib
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ("Content-Type", "Accept")


class SlowRegistry:
    """`with SlowRegistry(url, seconds=1) as slow:`; `slow.url` answers what `url` answers, a second later."""

    def __init__(self, url: str, *, seconds: float) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                time.sleep(seconds)
                headers = {name: self.headers[name] for name in PASSED_ON if self.headers[name]}
                asked = urllib.request.Request(  # noqa: S310
                    url + self.path, data=body, headers=headers, method=self.command
                )
                with contextlib.suppress(OSError):  # at the end either side may be gone
                    try:
                        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                            self._answer(answer.status, answer.headers.get_content_type(), answer.read())
                    except urllib.error.HTTPError as error:
                        self._answer(error.code, error.headers.get_content_type(), error.read())

            do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "SlowRegistry":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
