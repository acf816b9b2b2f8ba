"""deploy/helm/countersign as helm renders it, for the tests."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from registry_ui.demo.installation import ROOT
from tools.helm import HELM

CHART = ROOT / "deploy" / "helm" / "countersign"
SETS = sorted((CHART / "ci").glob("*.yaml"))
MOUNT = "/run/secrets/countersign/"

Document = dict[str, Any]


def helm(*words: str, fails: bool = False) -> str:
    """What it prints; of a command that should fail, what it says. Fails itself when helm is not there."""
    assert HELM.exists(), "helm is missing: python tools/services.py takes it."
    done = subprocess.run([str(HELM), *words], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == fails, f"helm {' '.join(words)}: {done.stdout[-2000:]}{done.stderr}"
    return done.stderr if fails else done.stdout


def template(*words: str, fails: bool = False) -> str:
    return helm("template", "countersign", str(CHART), "--namespace", "gates", *words, fails=fails)


@cache
def rendered(values: Path) -> tuple[Document, ...]:
    """Everything that is installed with one set of values, hooks and tests among it."""
    return tuple(each for each in yaml.safe_load_all(template("--values", str(values))) if each)


def pods(values: Path) -> dict[str, Document]:
    """The specification of each pod, by the process."""
    found = {}
    for each in rendered(values):
        if each["kind"] in ("Deployment", "Job"):
            found[each["metadata"]["labels"]["app.kubernetes.io/component"]] = each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            found["test"] = each["spec"]
    return found


def container(values: Path, process: str) -> Document:
    """The one container of a pod."""
    (only,) = pods(values)[process]["containers"]
    return dict(only)


def environment(values: Path, process: str) -> dict[str, str]:
    """As the process gets it; what Kubernetes fills in itself has a value of its kind."""
    env = container(values, process).get("env", [])
    names = [each["name"] for each in env]
    assert len(names) == len(set(names)), f"{process}: twice in its environment"
    return {each["name"]: each.get("value", "10.0.0.7").replace("$(POD_IP)", "10.0.0.7") for each in env}


def mounted(values: Path, process: str) -> dict[str, tuple[str, str]]:
    """Name of the file below the mount: which key of which Secret."""
    found = {}
    for volume in pods(values)[process].get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                assert item["path"] not in found
                found[item["path"]] = (source["secret"]["name"], item["key"])
    return found
