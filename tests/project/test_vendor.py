"""The committed third-party files are exactly what VENDOR.json says, and pages fetch nothing from other hosts."""

import hashlib
import json
import re
import tomllib

from registry_ui.demo.installation import ROOT

STATIC = ROOT / "components" / "static"
LOCK = STATIC / "vendor" / "VENDOR.json"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
OWN_ASSETS = sorted([*STATIC.glob("*.css"), *STATIC.glob("*.js"), *STATIC.glob("*.svg")])
NAMESPACE = "http://www.w3.org/2000/svg"


def locked() -> dict[str, dict[str, str]]:
    lock: dict[str, dict[str, str]] = json.loads(LOCK.read_text())
    return lock


def test_vendored_files_have_the_locked_checksums() -> None:
    found = {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in locked()}
    assert found == {name: entry["sha256"] for name, entry in locked().items()}


def test_vendor_folder_holds_nothing_else() -> None:
    found = {path.relative_to(STATIC).as_posix() for path in LOCK.parent.rglob("*") if path.is_file()}
    assert found - {"vendor/VENDOR.json"} == {name for name in locked() if name.startswith("vendor/")}


def test_lock_names_the_pinned_versions_and_every_licence_is_there() -> None:
    packages = tomllib.loads((ROOT / "vendor.toml").read_text())["package"]
    assert {(p["name"], p["version"], p["licence"]) for p in packages} == {
        (entry["package"], entry["version"], entry["licence"]) for entry in locked().values()
    }
    assert all(p["integrity"].startswith("sha512-") for p in packages)
    assert {f"vendor/{p['folder']}/LICENSE" for p in packages} <= locked().keys()


def test_vendored_files_name_no_source_maps() -> None:
    # Hashing static file storages stop on a map that is not there.
    assert not [name for name in locked() if b"sourceMappingURL" in (STATIC / name).read_bytes()]


def test_sprite_has_every_icon_that_pages_name() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    assert sprite == set(tomllib.loads((ROOT / "vendor.toml").read_text())["icons"])
    named = {
        name for path in TEMPLATES for name in re.findall(r"""\{% (?:icon|empty) ["']([^"']+)["']""", path.read_text())
    }
    assert "inbox" in named
    assert named <= sprite


def test_pages_and_assets_load_nothing_from_other_hosts() -> None:
    addresses = {
        (path.name, address)
        for path in [*TEMPLATES, *OWN_ASSETS]
        for address in re.findall(r"https?://[^\s\"'<>)]+", path.read_text())
        if address != NAMESPACE
    }
    assert addresses == set()


def test_templates_carry_no_inline_style_script_or_handler() -> None:
    inline = re.compile(
        r"""<style\b|\sstyle=|\son[a-z]+=|\shx-on|javascript:|<script(?![^>]*\b(?:src|type="application/json")\b)"""
    )
    found = [
        (path.relative_to(ROOT).as_posix(), match.group(0))
        for path in TEMPLATES
        if path.parent.name != "notifications"  # mails: no policy applies, and readers know no style sheets
        for match in inline.finditer(path.read_text())
    ]
    assert found == []


def test_own_script_stays_small() -> None:
    assert (STATIC / "app.js").stat().st_size < 6_500
