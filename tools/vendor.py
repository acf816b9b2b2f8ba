"""Copies the third-party front-end files named in vendor.toml into the repository, after checking their integrity.

Needs npm only when it runs; nobody who installs or deploys needs it, because the copies are committed.
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "vendor.toml"
STATIC = ROOT / "components" / "static"
VENDOR = STATIC / "vendor"
SPRITE = STATIC / "icons.svg"
LOCK = VENDOR / "VENDOR.json"

# Static file storages look for the map of every file that names one, and maps are not shipped.
SOURCE_MAP = re.compile(rb"\n?(/\*# sourceMappingURL=[^*]*\*/|//# sourceMappingURL=\S*)\s*$")
SVG_BODY = re.compile(r"<svg.*?>(.*)</svg>", re.DOTALL)


class VendorError(Exception):
    """What could not be vendored, in a sentence."""


def load_manifest() -> dict[str, Any]:
    return tomllib.loads(MANIFEST.read_text())


def fetch(package: dict[str, Any], folder: Path) -> tarfile.TarFile:
    """The package's tarball, opened; refused when its SHA-512 is not the pinned one."""
    name = f"{package['name']}@{package['version']}"
    command = ["npm", "pack", "--ignore-scripts", "--json", "--pack-destination", str(folder), name]
    packed = subprocess.run(command, capture_output=True, text=True, check=False)
    if packed.returncode:
        raise VendorError(f"npm could not fetch {name}:\n{packed.stderr}")
    path = folder / json.loads(packed.stdout)[0]["filename"]
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != package["integrity"]:
        raise VendorError(f"{name} has integrity {found}, but vendor.toml pins {package['integrity']}.")
    return tarfile.open(path)


def read(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        member = archive.extractfile(f"package/{name}")
    except KeyError:
        member = None
    if member is None:
        raise VendorError(f"The package has no file {name}.")
    return member.read()


def collect(manifest: dict[str, Any]) -> dict[Path, bytes]:
    """Every file that belongs in the repository, by its path: copies, licences, the sprite and the lock."""
    files: dict[Path, bytes] = {}
    lock: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for package in manifest["package"]:
            with fetch(package, Path(temporary)) as archive:
                folder = VENDOR / package["folder"]
                copies = {
                    folder / Path(name).name: SOURCE_MAP.sub(b"", read(archive, name)) for name in package["files"]
                }
                notice = package.get("notice")
                copies[folder / "LICENSE"] = notice.lstrip().encode() if notice else read(archive, "LICENSE")
                if package["name"] == "@tabler/icons":
                    copies[SPRITE] = sprite(archive, manifest["icons"])
                for path, content in copies.items():
                    lock[path.relative_to(STATIC).as_posix()] = {
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "package": package["name"],
                        "version": package["version"],
                        "licence": package["licence"],
                    }
                files |= copies
    files[LOCK] = (json.dumps(lock, indent=2, sort_keys=True) + "\n").encode()
    return files


def sprite(archive: tarfile.TarFile, names: list[str]) -> bytes:
    """One SVG with a `<symbol>` per icon, so that a page names an icon and fetches all of them once."""
    symbols = []
    for name in sorted(names):
        found = SVG_BODY.search(read(archive, f"icons/outline/{name}.svg").decode())
        if not found:
            raise VendorError(f"The icon {name} is not an SVG.")
        shapes = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>', "", found[1])
        shapes = re.sub(r"\s+", " ", shapes).replace(" />", "/>").replace("> <", "><").strip()
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>')
    stroke = 'stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" fill="none" {stroke}>'
    return "\n".join([opening, *symbols, "</svg>", ""]).encode()


def differences(files: dict[Path, bytes]) -> list[str]:
    """What in the repository is not as the packages have it, one line each."""
    found = [
        f"{path.relative_to(ROOT)} {'differs' if path.exists() else 'is missing'}."
        for path, content in files.items()
        if not path.exists() or path.read_bytes() != content
    ]
    extra = {path for path in VENDOR.rglob("*") if path.is_file()} - files.keys()
    return found + [f"{path.relative_to(ROOT)} does not belong to any package." for path in sorted(extra)]


def write(files: dict[Path, bytes]) -> None:
    for path in {path for path in VENDOR.rglob("*") if path.is_file()} - files.keys():
        path.unlink()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the copies differ")
    is_check = parser.parse_args().check
    try:
        files = collect(load_manifest())
    except VendorError as error:
        print(error, file=sys.stderr)
        return 1
    if is_check:
        found = differences(files)
        print("\n".join(found) or f"All {len(files)} files are as their packages have them.")
        return 1 if found else 0
    write(files)
    print(f"Wrote {len(files)} files.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
