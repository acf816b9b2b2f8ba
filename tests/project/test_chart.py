"""deploy/helm/countersign against Kubernetes' own schemas, the settings, and the table of secrets by process."""

import base64
import functools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from kubernetes_validate import utils as kubernetes

from components.version import VERSION
from registry_ui.demo.installation import ROOT
from tests.project.processes import OPTIONAL, SECRETS
from tests.support.chart import CHART, MOUNT, SETS, container, environment, helm, mounted, pods, rendered, template
from tests.support.compose import services
from tools.helm import HELM, KUBECTL

pytestmark = [pytest.mark.server, pytest.mark.nodb]

LEAST, FULL, GATEWAY = (CHART / "ci" / f"{name}.yaml" for name in ("least", "full", "gateway"))
PROCESSES = [(values, process) for values in SETS for process in ("web", "worker", "beat")] + [
    (FULL, "gate"),
    (FULL, "migrate"),
    (LEAST, "migrate"),
]
SHARED = "secrets.shared.keys={COUNTERSIGN_SECRET_KEY,DATABASE_URL,CELERY_BROKER_URL"
CRDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "tests" / "project" / "crds").glob("*.json")}


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> None:
    if not hasattr(kubernetes.schema_contents, "cache_info"):
        kubernetes.schema_contents = functools.cache(kubernetes.schema_contents)


def by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("values", SETS, ids=by_name)
def test_helm_finds_nothing_to_say_against_it(values: Path) -> None:
    said = helm("lint", "--strict", str(CHART), "--values", str(values))
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "[WARNING]" not in said


@pytest.mark.parametrize("version", ["1.27", "1.34"])
@pytest.mark.parametrize("values", SETS, ids=by_name)
def test_kubernetes_knows_every_field(values: Path, version: str) -> None:
    for each in rendered(values):
        if each["kind"] in CRDS:
            jsonschema.Draft202012Validator(CRDS[each["kind"]]).validate(each)
        else:
            assert kubernetes.validate(each, version, strict=True) == version


def test_a_misspelt_field_would_be_found() -> None:
    (service,) = (dict(each) for each in rendered(LEAST) if each["kind"] == "Service")
    service["spec"] = service["spec"] | {"sellector": {}}
    with pytest.raises(kubernetes.ValidationError, match="sellector"):
        kubernetes.validate(service, "1.34", strict=True)
    (route,) = (each for each in rendered(GATEWAY) if each["kind"] == "HTTPRoute")
    with pytest.raises(jsonschema.ValidationError, match="hostname"):
        jsonschema.Draft202012Validator(CRDS["HTTPRoute"]).validate(route | {"spec": route["spec"] | {"hostname": "x"}})


def test_its_version_is_the_products() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == VERSION
    assert container(LEAST, "web")["image"] == f"registry.example.com/countersign:{VERSION}"
    assert container(GATEWAY, "web")["image"].startswith("registry.example.com/countersign@sha256:0123")


def test_the_longest_name_of_a_release_leaves_room_for_ours() -> None:
    text = helm("template", "a" * 53, str(CHART), "--values", str(FULL))
    names = {each["metadata"]["name"] for each in yaml.safe_load_all(text) if each}
    assert max(map(len, names)) <= 63
    assert f"{'a' * 52}-web" in names


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("siteUrl=", "at '/siteUrl': '' does not match pattern"),
        ("siteUrl=https://countersign.example.com/gates", "at '/siteUrl'"),
        ("image.repository=", "at '/image/repository': minLength: got 0, want 1"),
        ("mlflow.trackingUri=http://ada:secret@mlflow", "at '/mlflow/trackingUri'"),
        ("secrets.shared.name=", "at '/secrets/shared/name'"),
        ("secrets.migrate.keys=null", "at '/secrets/migrate'"),
        ("secrets.shared.keys={DATABASE_URL,CELERY_BROKER_URL}", "must be 'COUNTERSIGN_SECRET_KEY'"),
        (
            "secrets.worker.name=w,secrets.worker.keys={EMAIL_UL}",
            "secrets.worker.keys: EMAIL_UL is no secret of worker.",
        ),
        (f"{SHARED}}}", "secrets.shared.keys: web needs EMAIL_URL; else invitations and password resets reach no one."),
        (f"{SHARED},EMAIL_URL,COUNTERSIGN_X}}", "secrets.shared.keys: COUNTERSIGN_X is no secret of any process."),
        (
            "secrets.web.keys={COUNTERSIGN_GATE_TOKEN}",
            "secrets.web.name: name the Secret that has COUNTERSIGN_GATE_TOKEN.",
        ),
        ("ingress.enabled=true,httpRoute.enabled=true", "at '/httpRoute/enabled': value must be false"),
        ("httpRoute.enabled=true", "at '/httpRoute/parentRefs': minItems"),
        ("gate.enabled=true", "networkPolicy.mlflow.from: name MLflow's pods"),
        ("gate.enabled=true,networkPolicy.enabled=false", "secrets.web.keys: the gate needs COUNTERSIGN_GATE_TOKEN"),
        ("metrics.serviceMonitor.enabled=true", "secrets.shared.keys: Prometheus needs COUNTERSIGN_METRICS_TOKEN"),
        ("beat.replicas=2", "at '/beat/replicas': maximum: got 2, want 1"),
        ("web.replcas=2", "at '/web': additional properties 'replcas' not allowed"),
        ("worker.resources.limits=null", "at '/worker/resources': missing property 'limits'"),
        ("settings.AWS_SECRET_ACCESS_KEY=x", "invalid propertyName 'AWS_SECRET_ACCESS_KEY'"),
        ("settings.COUNTERSIGN_SITE_URL=https://elsewhere.example.com", "invalid propertyName 'COUNTERSIGN_SITE_URL'"),
        *((f"settings.{name}=x", f"invalid propertyName '{name}'") for name in sorted(set().union(*SECRETS.values()))),
    ],
)
def test_values_that_make_no_sense_are_refused_with_their_place(given: str, said: str) -> None:
    assert said in template("--values", str(LEAST), "--set", given, fails=True)


@pytest.mark.parametrize(("values", "process"), PROCESSES, ids=lambda each: getattr(each, "stem", each))
def test_each_process_gets_its_secrets_and_no_others_as_files(values: Path, process: str) -> None:
    files, env = mounted(values, process), environment(values, process)
    assert set(files) <= SECRETS[process]
    assert SECRETS[process] - set(files) <= OPTIONAL | {"COUNTERSIGN_GATE_TOKEN", "COUNTERSIGN_GATE_KEY"}
    assert {name for name in env if name.endswith("_FILE") and name != "SSL_CERT_FILE"} == {
        f"{name}_FILE" for name in files
    }
    assert all(env[f"{name}_FILE"] == f"{MOUNT}{name}" for name in files)
    given = {name for name, value in env.items() if value != "none"}
    assert not set().union(*SECRETS.values()) & given, "a secret is a variable"
    assert all(key == name for name, (_, key) in files.items())


def test_with_all_that_can_be_named_a_process_has_all_of_its_table() -> None:
    missing = {process: SECRETS[process] - set(mounted(FULL, process)) for process in SECRETS}
    assert missing == dict.fromkeys(SECRETS, frozenset()) | {"worker": {"MLFLOW_TRACKING_TOKEN"}}
    assert json.loads((CHART / "files" / "processes.json").read_text()) == {
        process: sorted(names) for process, names in SECRETS.items()
    }, "deploy/helm/countersign/files/processes.json is to say what tests/project/processes.py says."


def test_each_of_several_providers_has_a_secret_of_its_own_in_web_alone(tmp_path: Path) -> None:
    values = yaml.safe_load(FULL.read_text())
    values["secrets"]["web"]["keys"].append("COUNTERSIGN_OIDC_CORP_CLIENT_SECRET")
    path = tmp_path / "several.yaml"
    path.write_text(yaml.safe_dump(values))
    assert [process for process in SECRETS if "COUNTERSIGN_OIDC_CORP_CLIENT_SECRET" in mounted(path, process)] == [
        "web"
    ]


def test_only_the_one_who_migrates_owns_the_tables() -> None:
    assert {process: mounted(FULL, process)["DATABASE_URL"][0] for process in SECRETS} == dict.fromkeys(
        SECRETS, "countersign-shared"
    ) | {"migrate": "countersign-migrate"}


@pytest.mark.parametrize("values", SETS, ids=by_name)
def test_no_pod_has_more_rights_or_room_than_it_needs(values: Path) -> None:
    for process, pod in pods(values).items():
        assert pod["automountServiceAccountToken"] is False, process
        assert pod["enableServiceLinks"] is False
        secured = pod["securityContext"]
        assert secured["runAsNonRoot"] is True
        assert secured["runAsUser"] == secured["runAsGroup"] == 10001
        assert secured["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        only = container(values, process)
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(only["resources"]["requests"])
        assert "memory" in only["resources"]["limits"]
        if process != "test":
            places = {volume["name"]: volume for volume in pod["volumes"]}
            on_disk = values == FULL and process == "worker"
            room = {"medium": "", "sizeLimit": "20Gi"} if on_disk else {"medium": "Memory", "sizeLimit": "64Mi"}
            assert places["tmp"]["emptyDir"] == room
            assert places["secrets"]["projected"]["defaultMode"] == 0o440
            assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize(("values", "process"), PROCESSES, ids=lambda each: getattr(each, "stem", each))
def test_every_process_that_keeps_running_is_asked_whether_it_lives(values: Path, process: str) -> None:
    only = container(values, process)
    probes = {name: only.get(f"{name}Probe", {}) for name in ("startup", "liveness", "readiness")}
    if process in ("web", "gate"):
        paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
        assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
        for probe in probes.values():
            assert probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "countersign.example.com"}]
    elif process != "migrate":
        command = ["python", "-I", "registry_ui/alive.py", process]
        assert [probes[name]["exec"]["command"] for name in ("startup", "liveness")] == [command, command]
        assert (ROOT / command[2]).exists()
    else:
        assert not any(probes.values())
        (job,) = (each for each in rendered(values) if each["kind"] == "Job")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 1800)


LOOK = """
import json, os, runpy, sys
for process, given in json.loads(sys.argv[1]).items():
    os.environ.clear()
    os.environ.update(given)
    read = runpy.run_path("registry_ui/settings.py")
    known = read["env"].names | {f"{name}_FILE" for name in read["env"].names}
    strange = {name for name in given if name.startswith(("COUNTERSIGN_", "MLFLOW_"))} - known
    role = read["DATABASES"]["default"]["USER"]
    print(json.dumps([process, sorted(strange), read["ALLOWED_HOSTS"], role]))
"""
A_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
HELD = dict.fromkeys(set().union(*SECRETS.values()), "0123456789abcdef" * 4) | {
    "DATABASE_URL": "postgresql://app:secret@database/countersign",
    "CELERY_BROKER_URL": "rediss://:secret@broker:6379/0",
    "EMAIL_URL": "smtp+tls://mailer:secret@mail.example.com",
    "COUNTERSIGN_GATE_KEY": A_KEY,
    "COUNTERSIGN_CHECKPOINT_KEY": A_KEY,
}
OWNER = "postgresql://owner:secret@database/countersign"


def look(values: Path, place: Path, value: Callable[[str, str], str]) -> None:
    """Reads the settings as each process would; `value` of a Secret's name and a key. In an interpreter of its own: the
    settings configure the logging of their process."""
    given: dict[str, dict[str, str]] = {}
    for process in set(pods(values)) - {"test"}:
        folder = place / process
        folder.mkdir()
        for name, (secret, key) in mounted(values, process).items():
            (folder / name).write_text(f"{value(secret, key)}\n")
        env = {name: text.replace(MOUNT, f"{folder}/") for name, text in environment(values, process).items()}
        given[process] = env | {"COUNTERSIGN_STATE_DIR": str(place / "state"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(given)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        process, strange, hosts, role = json.loads(line)
        assert strange == [], f"{process}: no setting has this name"
        assert role.removeprefix("countersign_") == ("owner" if process == "migrate" else "app")
        assert ("countersign-gate.gates" in hosts) == (process == "gate")
        assert ("10.0.0.7" in hosts) == (process in ("web", "gate"))
    assert len(done.stdout.splitlines()) == len(given)


@pytest.mark.parametrize("values", SETS, ids=by_name)
def test_the_settings_accept_what_each_process_is_given(values: Path, tmp_path: Path) -> None:
    look(
        values,
        tmp_path,
        lambda secret, name: OWNER if (secret, name) == ("countersign-migrate", "DATABASE_URL") else HELD[name],
    )


@pytest.mark.parametrize("process", ["web", "worker", "beat", "migrate"])
def test_a_process_is_started_and_asked_as_compose_does_it(process: str) -> None:
    """There the suite runs the very commands."""
    there, here = services()[process], container(LEAST, process)
    image = re.findall(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    assert here["command"] == there.get("command", json.loads(image))
    if process in ("worker", "beat"):
        assert here["livenessProbe"]["exec"]["command"] == there["healthcheck"]["test"][1:]


def test_alerts_and_dashboard_are_those_of_the_repository() -> None:
    copies = {"countersign.rules.yml": "prometheus", "countersign.json": "grafana"}
    for name, folder in copies.items():
        there, here = ROOT / "deploy" / folder / name, CHART / "files" / name
        assert here.read_text() == there.read_text(), f"cp {there.relative_to(ROOT)} {here.relative_to(ROOT)}"
    (alerts,) = (each for each in rendered(FULL) if each["kind"] == "PrometheusRule")
    assert alerts["spec"] == yaml.safe_load((CHART / "files" / "countersign.rules.yml").read_text())
    (dashboard,) = (each for each in rendered(FULL) if each["kind"] == "ConfigMap")
    assert json.loads(dashboard["data"]["countersign.json"]) == json.loads(
        (CHART / "files/countersign.json").read_text()
    )


def ways(values: Path) -> dict[str, tuple[set[object], set[object]]]:
    """Of each process: on which ports others reach it, and which it reaches."""
    found = {}
    for each in rendered(values):
        if each["kind"] == "NetworkPolicy":
            assert each["spec"]["policyTypes"] == ["Ingress", "Egress"]
            inwards, outwards = (
                {port["port"] for rule in each["spec"].get(way, []) for port in rule["ports"]}
                for way in ("ingress", "egress")
            )
            found[each["metadata"]["labels"]["app.kubernetes.io/component"]] = (inwards, outwards)
    return found


def test_a_process_reaches_what_it_needs_and_is_reached_where_it_serves() -> None:
    assert ways(LEAST) == {
        "web": ({"http"}, {53, 5432, 6379, 443, 587}),
        "worker": (set(), {53, 5432, 6379, 443, 587}),
        "beat": (set(), {53, 5432, 6379}),
        "migrate": (set(), {53, 5432}),
        "test": (set(), {53, "http"}),
    }
    assert ways(FULL) == {
        "web": ({"http"}, {53, 6432, 6379, 443, 3128, 4318, 465}),
        "gate": ({"http"}, {53, 6432, 6379}),
        "worker": ({"metrics"}, {53, 6432, 6379, 443, 3128, 4318, 465, 5000}),
        "beat": (set(), {53, 6432, 6379}),
        "migrate": (set(), {53, 6432}),
        "test": (set(), {53, "http"}),
    }
    assert ways(GATEWAY) == {}
    for values in (LEAST, FULL):
        for each in rendered(values):
            if each["kind"] == "NetworkPolicy":
                assert all(rule.get("from") for rule in each["spec"].get("ingress", [])), "anybody may come in"


def test_people_come_by_one_way() -> None:
    kinds = {values: {each["kind"] for each in rendered(values)} & {"Ingress", "HTTPRoute"} for values in SETS}
    assert kinds == {LEAST: set(), FULL: {"Ingress"}, GATEWAY: {"HTTPRoute"}}
    (ingress,) = (each for each in rendered(FULL) if each["kind"] == "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "countersign.example.com"
    (route,) = (each for each in rendered(GATEWAY) if each["kind"] == "HTTPRoute")
    assert route["spec"]["hostnames"] == ["countersign.example.com"]


@pytest.mark.parametrize("values", SETS, ids=by_name)
def test_what_selects_pods_finds_some(values: Path) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"] if "template" in each["spec"] else each["metadata"]["labels"]
        for each in rendered(values)
        if each["kind"] in ("Deployment", "Job", "Pod")
    ]
    services = [each for each in rendered(values) if each["kind"] == "Service"]
    for each in rendered(values):
        spec = each.get("spec", {})
        if each["kind"] == "ServiceMonitor":
            (service,) = (
                found
                for found in services
                if spec["selector"]["matchLabels"].items() <= found["metadata"]["labels"].items()
            )
            assert {end["port"] for end in spec["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
        wanted = {
            "Service": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(each["kind"])
        if wanted:
            assert len([pod for pod in labels if wanted(spec).items() <= pod.items()]) == 1, each["metadata"]["name"]


def test_every_value_has_a_place_in_the_schema_and_none_is_left_over() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(value: object, described: dict[str, object], place: str) -> None:
        if "$ref" in described:
            described = schema["$defs"][str(described["$ref"]).rpartition("/")[2]]
        properties = described.get("properties")
        if isinstance(properties, dict) and isinstance(value, dict):
            optional = {"to", "ports", "requests"}
            assert set(properties) - set(value) <= optional | {"global"}, place
            for name in value:
                compare(value[name], properties[name], f"{place}.{name}")

    compare(values, schema, "values")


# --- The commands of the documentation

SECTION = re.search(
    r"^## Kubernetes\n.*?(?=^## )", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE | re.DOTALL
)
STUB = """#!/bin/sh
# Notes what it was called with, and makes of a Secret what the cluster would get.
echo "{name} $*" >> calls
case " $* " in
*" create secret "*) {real} "$@" --dry-run=client --output=yaml >> secrets.yaml && echo --- >> secrets.yaml ;;
esac
"""


def test_the_documentation_installs_this_version() -> None:
    assert SECTION
    assert set(re.findall(r"example.com/countersign:(\S+)", SECTION[0])) == {VERSION}


def blocks(language: str) -> list[str]:
    assert SECTION
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION[0], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which every command of the section was run, with stubs of what needs a cluster or a server."""
    folder = tmp_path_factory.mktemp("followed")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("docker", "createdb", "psql", "kubectl", "helm"):
        (programs / name).write_text(STUB.format(name=name, real=KUBECTL))
        (programs / name).chmod(0o755)
    hosts = {"DATABASE_HOST": "database", "BROKER_HOST": "broker"}
    passwords = {"BROKER_PASSWORD": "secret", "MAIL_PASSWORD": "secret", "MLFLOW_PASSWORD": "secret"}
    subprocess.run(
        ["sh", "-euc", "\n".join(blocks("sh"))],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), **hosts, **passwords},
        check=True,
    )
    (values,) = blocks("yaml")
    (folder / "countersign.yaml").write_text(values)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    return folder


def test_the_secrets_of_the_documentation_fit_its_values_and_the_settings(followed: Path, tmp_path: Path) -> None:
    made = {
        each["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in each["data"].items()}
        for each in yaml.safe_load_all((followed / "secrets.yaml").read_text())
        if each
    }
    values = followed / "countersign.yaml"
    for process in set(pods(values)) - {"test"}:
        for name, key in mounted(values, process).values():
            assert key in made[name], f"{process}: {name} has no {key}"
    look(values, tmp_path, lambda secret, name: made[secret][name])


def test_the_programs_know_the_commands_of_the_documentation(followed: Path) -> None:
    """Each against a cluster that is not there: options are read before it is asked."""
    programs = {"helm": [str(HELM), "--kube-apiserver"], "kubectl": [str(KUBECTL), "--server"]}
    asked = 0
    for line in (followed / "calls").read_text().splitlines():
        name, *words = shlex.split(line)
        if name not in programs or "create" in words:  # which were tried, or take no server
            continue
        done = subprocess.run(
            [*programs[name], "http://127.0.0.1:9", *words],
            cwd=followed,
            env={"PATH": os.environ["PATH"], "HOME": str(followed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "connection refused" in done.stderr, f"{line}: {done.stderr}"
        asked += 1
    assert asked == 7
