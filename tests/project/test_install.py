"""tools/install.py: what uv is told of pip's settings, and who installs. tests/project/test_venv.py runs it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tools import install

PIP_CONF = """
[global]
index-url = https://name:secret@index.example.com/simple
extra-index-url =
    https://more.example.com/simple
    file:///no/such/folder
find-links = /no/such/wheels https://wheels.example.com
timeout = 5
cert = /etc/ssl/company.pem
"""


@pytest.fixture(autouse=True)
def _asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pip.conf").write_text(PIP_CONF)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("PIP_CERT", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "SSL_CERT_FILE", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "90")
    install.environment.cache_clear()
    yield
    install.environment.cache_clear()


def test_uv_asks_as_pip_is_set_to() -> None:
    """The environment counts before the file, and folders are left out."""
    told = install.environment()
    assert {name: told.get(name) for name in install.VARIABLES.values()} == {
        "UV_DEFAULT_INDEX": "https://name:secret@index.example.com/simple",
        "UV_INDEX": "https://more.example.com/simple",
        "UV_FIND_LINKS": "https://wheels.example.com",
        "UV_NO_INDEX": None,
        "UV_INSECURE_HOST": None,
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
        "ALL_PROXY": None,
        "UV_HTTP_TIMEOUT": "90",
        "UV_HTTP_RETRIES": None,
    }


def test_what_is_set_for_uv_itself_counts_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example.com/simple")
    assert install.environment()["UV_DEFAULT_INDEX"] == "https://uv.example.com/simple"


@pytest.mark.parametrize(("by_uv", "by_pip", "ended"), [(0, 1, 0), (2, 0, 0), (2, 1, 1)])
def test_pip_installs_what_uv_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_uv: int, by_pip: int, ended: int
) -> None:
    asked: list[tuple[str, str]] = []

    def says(who: str, code: int, words: Sequence[str]) -> int:
        asked.append((who, words[-1]))
        return code

    monkeypatch.setattr(install, "_uv", lambda words: says("uv", by_uv, words))
    monkeypatch.setattr(install, "_pip", lambda words: says("pip", by_pip, words))
    for what in ("lock.txt", str(tmp_path)):
        asked.clear()
        assert install.install(what) == ended
        assert [who for who, _ in asked] == (["uv"] if by_uv == 0 else ["uv", "pip"])
        assert {name for _, name in asked} == {what}
