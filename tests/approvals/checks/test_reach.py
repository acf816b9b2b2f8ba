"""Where webhooks may go: what is private stays out of reach, however it is written and whatever a name means later."""

import socket
from typing import Any

import pytest

from approvals.checks import reach

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
    "0.0.0.0",  # noqa: S104
    "255.255.255.255", "224.0.0.1", "168.63.129.16", "::1", "::", "fe80::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "::127.0.0.1", "2001:0:7f00:1::f5ff:fffe", "192.0.0.192", "::ffff:0:7f00:1", "::ffff:0:0:7f00:1", "3fff::1",
    "5f00::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """The name service says this; returns what it is asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused_as_it_is_typed_and_as_what_a_name_means(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = f"https://[{address}]/" if ":" in address else f"https://{address}/"
    with pytest.raises(reach.OutOfReach, match="is a private address"):
        reach.checked(written)
    answering(monkeypatch, "8.8.8.8", address)  # one of several is enough
    with pytest.raises(reach.OutOfReach, match="is a private address"):
        reach.addresses(reach.checked("https://hooks.example.com/"))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_called_and_looked_up_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, address, address)
    assert reach.addresses(reach.checked("https://hooks.example.com/")) == [address]
    assert asked == ["hooks.example.com"]


def test_other_ways_to_write_this_machine_are_seen_when_they_are_looked_up() -> None:
    for host in ("localhost", "127.1", "2130706433", "0x7f000001"):
        with pytest.raises((reach.OutOfReach, OSError)):
            reach.addresses(reach.checked(f"https://{host}/"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("ftp://example.com/", "Enter an address that begins with https://"),
        ("https://", "Enter an address that begins with https://"),
        ("example.com", "Enter an address that begins with https://"),
        ("https://exämple.com/", "in letters without accents"),
        ("https://example.com:99999/", "This is not a web address."),
        ("https://[::1/", "This is not a web address."),
        ("https://user:secret@example.com/", "Leave user and password out"),
        ("https://example.com/a b", "no spaces"),
        ("https://example.com/#here", "no part after #"),
        ("http://example.com/", "Use https://."),
        ("http://8.8.8.8/", "Use https://."),
    ],
)
def test_an_address_that_cannot_be_called_is_refused_with_the_reason(raw: str, said: str) -> None:
    with pytest.raises(reach.OutOfReach, match=said.replace("[", r"\[")):
        reach.checked(raw)


def test_what_the_settings_name_is_in_reach(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_PRIVATE_HOSTS = ["hooks.intern", "10.20.0.0/16"]
    answering(monkeypatch, "192.168.1.1")
    assert reach.addresses(reach.checked("http://HOOKS.intern:8080/x")) == ["192.168.1.1"]
    with pytest.raises(reach.OutOfReach):
        reach.addresses(reach.checked("https://other.intern/"))
    answering(monkeypatch, "10.20.3.4")
    assert reach.addresses(reach.checked("https://other.intern/")) == ["10.20.3.4"]
    assert reach.checked("http://10.20.3.4/").hostname == "10.20.3.4"
    with pytest.raises(reach.OutOfReach):
        reach.checked("https://10.21.3.4/")
