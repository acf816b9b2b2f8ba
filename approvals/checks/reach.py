"""Where a webhook may go: public addresses, and of others those that COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS names. A person
who may add a webhook must not reach with it what only this host can: databases, the cloud's metadata, the host."""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""With an IPv4 address in the last 32 bits."""

_ALLOTTED = (ipaddress.ip_network("2000::/3"), _NAT64, ipaddress.ip_network("::ffff:0:0/96"))
"""All of IPv6 that can be public; what else there is leads into the own network, by ways that Python's lists lack."""

_NEVER = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "3fff::/20")))
"""Not public, though Python, or an older one, takes them for it: the metadata of Azure and of Oracle's cloud."""


class OutOfReach(ValueError):
    """Carries a sentence for the person."""


def checked(raw: str) -> SplitResult:
    """The address of a webhook as it was typed, without a look at the network. Raises OutOfReach."""
    try:
        url = urlsplit(raw)
        port = url.port
    except ValueError as error:  # a port out of range, half an IPv6 address
        raise OutOfReach("This is not a web address.") from error
    host = url.hostname or ""
    if url.scheme not in ("http", "https") or not host or port == 0 or not raw.isascii() or not raw.isprintable():
        raise OutOfReach("Enter an address that begins with https://, in letters without accents.")
    if " " in raw or url.fragment:
        raise OutOfReach("An address has no spaces and no part after #.")
    if "@" in url.netloc:
        raise OutOfReach("Leave user and password out of the address: receivers check the signature instead.")
    literal = _literal(host)
    if literal is not None and not _may_reach(literal, host):
        raise OutOfReach(_refusal(host))
    if url.scheme == "http" and not (_is_named(host) or (literal is not None and not _is_public(literal))):
        raise OutOfReach("Use https://. Plain http:// is for hosts that COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS names.")
    return url


def addresses(url: SplitResult) -> list[str]:
    """Looks the host up, once: the connection must go to one of what this returns. Raises OutOfReach when any of its
    addresses is private and not named in the settings, and OSError when it has none."""
    host = str(url.hostname)
    found = socket.getaddrinfo(host, url.port or (443 if url.scheme == "https" else 80), type=socket.SOCK_STREAM)
    known = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for each in known:
        if not _may_reach(ipaddress.ip_address(each), host):
            raise OutOfReach(_refusal(host))
    return sorted(known, key=lambda each: ":" in each)


def _refusal(host: str) -> str:
    return f"{host} is a private address, which COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS does not allow."


def _may_reach(address: Address, host: str) -> bool:
    return _is_public(address) or _is_named(host) or any(address in network for network in _networks())


def _is_public(address: Address) -> bool:
    """Also of what a longer address carries within: `::ffff:127.0.0.1` is this machine."""
    if not address.is_global or address.is_multicast or any(address in network for network in _NEVER):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    if not any(address in network for network in _ALLOTTED):
        return False
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return all(_is_public(each) for each in inner if each is not None)


def _is_named(host: str) -> bool:
    return host.lower() in {name.lower() for name in settings.WEBHOOK_PRIVATE_HOSTS}


def _networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for each in settings.WEBHOOK_PRIVATE_HOSTS:
        try:
            found.append(ipaddress.ip_network(each, strict=False))
        except ValueError:  # a name
            continue
    return found


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
