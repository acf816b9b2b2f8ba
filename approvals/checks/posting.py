"""One POST that ends in time whatever the other side does: the calls to external checks, and outgoing webhooks."""

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    body: bytes
    """Up to one byte more than was allowed."""


def post(
    url: SplitResult,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: int,
    most_bytes: int,
    addresses: Sequence[str] = (),
) -> Reply:
    """The answer, whatever its status; redirects are not followed. Straight, or through the proxy that the environment
    names (HTTPS_PROXY, NO_PROXY). With `addresses` the connection goes to one of them, and the host of `url` is only
    whose certificate is wanted: its name is not looked up again.

    Raises TimeoutError when the time is over, and OSError, HTTPException or ValueError for what else went wrong. A
    socket's time-out starts anew with every byte that comes, so a second thread hangs up when the time is over.
    """
    ends = time.monotonic() + seconds
    lines: list[socket.socket] = []  # all that this call has opened; TLS takes the place of what it is spoken over
    hang_up = threading.Timer(seconds, _hang_up, [lines])
    hang_up.daemon = True
    hang_up.start()
    try:
        connection = _connection(url, ends, addresses, lines)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json", "Connection": "close", **headers})
        found = connection.getresponse()
        said = found.read(most_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= ends:
            raise TimeoutError from error
        raise
    finally:
        hang_up.cancel()
        for line in lines:
            line.close()
    if time.monotonic() >= ends:  # what was read until then may be half an answer
        raise TimeoutError
    return Reply(found.status, {name.lower(): value for name, value in found.headers.items()}, said)


def words(error: Exception) -> str:
    """`Connection refused`, or the kind of error where it has no words."""
    found = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return storable(str(found)).rstrip(".")[:300]


def storable(text: str) -> str:
    """Without what a database may refuse."""
    return _UNSTORABLE.sub(" ", text).strip()


def _connection(
    url: SplitResult, ends: float, addresses: Sequence[str], lines: list[socket.socket]
) -> http.client.HTTPConnection:
    host = str(url.hostname)
    if url.scheme == "http":
        plain = http.client.HTTPConnection(host, url.port)
        plain.sock = _reached(addresses or [host], plain.port, ends, lines)
        return plain
    secure = http.client.HTTPSConnection(host, url.port)
    proxy = "" if proxy_bypass(host) else getproxies().get("https", "")
    if proxy:
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        left = max(ends - time.monotonic(), 0.001)
        way = http.client.HTTPConnection(str(through.hostname), through.port or 443, timeout=left)
        way.set_tunnel(next(iter(addresses), host), secure.port)
        way.connect()
        lines.append(way.sock)
    else:
        _reached(addresses or [host], secure.port, ends, lines)
    context = ssl.create_default_context()
    line = context.wrap_socket(lines.pop(), server_hostname=host, do_handshake_on_connect=False)
    lines.append(line)  # before the handshake, which may take for ever as well
    line.do_handshake()
    secure.sock = line
    return secure


def _reached(hosts: Sequence[str], port: int, ends: float, lines: list[socket.socket]) -> socket.socket:
    """The first of them that takes the connection. Raises OSError of the last one."""
    for place, host in enumerate(hosts, start=1):
        left = max(ends - time.monotonic(), 0.001)
        try:
            lines.append(socket.create_connection((host, port), timeout=left))
        except OSError:
            if place == len(hosts):
                raise
        else:
            return lines[-1]
    raise OSError("the name has no address")


def _hang_up(lines: Sequence[socket.socket]) -> None:
    for line in lines:
        with suppress(OSError):
            socket.socket.shutdown(line, socket.SHUT_RDWR)  # not TLS's own, which pulls the state from the reader
