"""One POST to the address that was looked up, with the certificate of the name."""

import socket
import ssl
import threading
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from approvals.checks import posting
from tests.approvals.checks.test_external import self_signed
from tests.support.ci_service import Service, says


def test_the_connection_goes_to_the_address_and_the_certificate_is_of_the_name(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    service.wrap(context)
    service.behave = says(200, b"taken")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def post(name: str) -> posting.Reply:
        url = urlsplit(f"https://{name}:{service.port}/hook")
        return posting.post(url, b"{}", {}, seconds=5, most_bytes=100, addresses=["127.0.0.1"])

    assert post("localhost").body == b"taken"  # which the certificate is for; it was not looked up
    assert asked == ["localhost"]
    assert service.calls[0][0]["host"] == f"localhost:{service.port}"
    with pytest.raises(ssl.SSLCertVerificationError):
        post("hooks.example.com")
    assert asked == ["localhost", "hooks.example.com"]
    assert len(service.calls) == 1


def test_the_next_address_is_tried_when_one_does_not_answer(service: Service) -> None:
    url = urlsplit(f"http://hooks.example.com:{service.port}/")
    reply = posting.post(url, b"{}", {}, seconds=5, most_bytes=100, addresses=["127.99.0.1", "127.0.0.1"])
    assert reply.status == 200


def test_no_more_of_the_answer_is_read_than_is_allowed(service: Service) -> None:
    service.behave = says(200, b"x" * 100_000)
    url = urlsplit(service.url)
    assert len(posting.post(url, b"{}", {}, seconds=5, most_bytes=100).body) == 101


def test_a_handshake_that_never_comes_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = urlsplit(f"https://localhost:{silent.getsockname()[1]}/")
        with pytest.raises(TimeoutError):
            posting.post(url, b"{}", {}, seconds=1, most_bytes=100, addresses=["127.0.0.1"])
        assert timedelta(seconds=time.monotonic() - began) < timedelta(seconds=3)


def test_a_proxy_is_asked_for_the_address_and_not_for_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def answer() -> None:
            line, _ = proxy.accept()
            with line:
                asked.append(line.recv(4096))
                line.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        at_work = threading.Thread(target=answer)
        at_work.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(OSError, match="403"):
            posting.post(
                urlsplit("https://hooks.example.com/"), b"{}", {}, seconds=5, most_bytes=9, addresses=["192.0.2.7"]
            )
        at_work.join(5)
    assert asked[0].startswith(b"CONNECT 192.0.2.7:443 ")
