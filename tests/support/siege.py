"""A guarded MLflow, tried from outside with every known attack, as an engineer and as somebody who saw grants on their
way, and with what must go on. `tests.servers` runs the same against the MLflow servers that people run."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_gate import attacks, grants
from mlflow_gate.attacks import FAILED, GOES_ON, NOT_TAKEN, REFUSED, Answer
from mlflow_gate.source import EVERY

from tests.support.gate import KEY, OTHER_KEY, Countersign, policy_text
from tests.support.mlflow_server import MlflowServer

ROUTES = {
    "transition_model_version_stage": ("POST", "mlflow/model-versions/transition-stage"),
    "set_registered_model_alias": ("POST", "mlflow/registered-models/alias"),
    "delete_registered_model_alias": ("DELETE", "mlflow/registered-models/alias"),
    "update_model_version": ("PATCH", "mlflow/model-versions/update"),
    "set_model_version_tag": ("POST", "mlflow/model-versions/set-tag"),
    "delete_model_version_tag": ("DELETE", "mlflow/model-versions/delete-tag"),
}
NOTE = "<!-- countersign:begin -->\nApproved for Production by Remy Ortiz · request #12\n<!-- countersign:end -->"


class GuardedMlflow(MlflowServer):
    """An MLflow with the gate, of this environment or another one."""

    def __init__(
        self,
        folder: Path,
        site: Countersign,
        *,
        options: Sequence[str] = (),
        prefix: str = "",
        store: str = "",
        python: str = sys.executable,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, workers=workers)
        self.options, self.python, self.prefix = list(options), python, prefix
        self.store = store or f"sqlite:///{folder / 'mlflow.sqlite3'}"
        self.environment = site.environment(
            COUNTERSIGN_GATE_STATE=str(folder / "gate.json"),
            MLFLOW_REGISTRY_STORE_URI=f"countersign:{self.store}",
            MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true",
            MLFLOW_WEBHOOK_ALLOWED_SCHEMES="http,https",
            PATH=os.pathsep.join([str(Path(python).parent), os.environ["PATH"]]),
            **(environment or {}),
        )
        self.url += prefix

    def _command(self) -> list[str]:
        command = [self.python, *super()._command()[1:], *self.options]
        command = [word.replace("-destination=", "-destination=countersign:") for word in command]
        command = [word for word in command if not word.startswith("--backend-store-uri")]
        return [
            *command,
            f"--backend-store-uri={self.store}",
            *([f"--static-prefix={self.prefix}"] * bool(self.prefix)),
        ]

    def start(self, *, timeout: float = 240) -> None:  # four processes, beside other tests
        super().start(timeout=timeout)

    def _is_healthy(self) -> bool:
        return super()._is_healthy() or self._answers(self.url.removesuffix(self.prefix))  # the way of old ones


@dataclass(frozen=True)
class Outcome:
    title: str
    expected: str
    came: str
    said: str = ""

    @property
    def is_ok(self) -> bool:
        """What MLflow itself does not take, or trips over, is no way in: that all of it changed nothing is an outcome
        of its own."""
        return self.came == self.expected or (self.expected == REFUSED and self.came in (NOT_TAKEN, FAILED))


class Siege:
    """`Siege(url, site).run()`: all outcomes, in order."""

    def __init__(
        self,
        url: str,
        site: Countersign,
        *,
        engineer: tuple[str, str] = ("", ""),
        worker: tuple[str, str] = ("", ""),
        workspace: str = "",
    ) -> None:
        self.site, self.workspace = site, workspace
        self.engineer, self.worker = (
            attacks.Mlflow(url, user=name, password=password) for name, password in (engineer, worker)
        )
        for each in (self.engineer, self.worker):
            each._headers.update({"X-MLFLOW-WORKSPACE": workspace} if workspace else {})
        self.model = f"churn-{secrets.token_hex(3)}"
        self.webhook, self.has_prompts = "", True  # early MLflow has neither
        self.outcomes: list[Outcome] = []

    def run(self) -> list[Outcome]:
        self.make_the_webhook()
        self.prepare(self.model)
        self.attack(each for each in attacks.attacks(self.model) if not each.held)
        self.promote()
        self.attack(each for each in attacks.attacks(self.model) if each.held)
        self.send_bad_grants()
        self.replay()
        self.rename_into_the_rules()
        self.attack_the_webhook()
        # The folder that is sealed for trying is around no one's files in a workspace, as in an experiment.
        self.attack(attacks.file_attacks(around=not self.workspace))
        self.look_that_nothing_changed()
        self.go_on()
        self.take_back()
        self.ask_what_was_told()
        return self.outcomes

    # --- The parts

    def prepare(self, model: str) -> None:
        *plain, prompt, prompt_version = attacks.preparation(model)
        for each in (*plain, prompt):
            self.note(f"{each.title} {model}", GOES_ON, self.engineer.attempt(each))
        made = self.engineer.attempt(prompt_version)
        self.has_prompts = made.status != 400
        if self.has_prompts:
            self.note(f"{prompt_version.title} {model}", GOES_ON, made)

    def attack(self, attempts: Iterable[attacks.Attempt]) -> None:
        for each in attempts:
            answer = self.engineer.attempt(each)
            self.outcomes.append(Outcome(each.title, each.expected, attacks.judge(each, answer), answer.text[:300]))

    def promote(self) -> None:
        """As Countersign's worker does it."""
        one = {"name": self.model, "version": "1"}
        move = {**one, "stage": "Production", "archive_existing_versions": True}
        self.granted("transition_model_version_stage", move, expect={"stage:Production": []})
        self.granted("set_registered_model_alias", {**one, "alias": "champion"}, expect={"alias:champion": []})
        self.granted("update_model_version", {**one, "description": f"Trained again.\n\n{NOTE}"})
        self.granted("set_model_version_tag", {**one, "key": attacks.TAG, "value": "12"})
        if self.has_prompts:
            prompt = {"name": attacks.prompt_of(self.model), "version": "1", "alias": "champion"}
            self.granted("set_registered_model_alias", prompt, expect={"alias:champion": []})

    def send_bad_grants(self) -> None:
        operation, move = "set_registered_model_alias", {"name": self.model, "alias": "champion", "version": "2"}
        now = time.time()
        good: dict[str, Any] = {"audience": "mlflow", "expect": {"alias:champion": [1]}}
        late = grants.LIFETIME + grants.SKEW + 5
        bad = {
            "of a foreign key": grants.sign(OTHER_KEY, operation, move, **good),
            "for another MLflow": grants.sign(KEY, operation, move, audience="another"),
            "that has expired": grants.sign(KEY, operation, move, now=now - late, **good),
            "of tomorrow": grants.sign(KEY, operation, move, now=now + 86_400, **good),
            "for another version": grants.sign(KEY, operation, {**move, "version": "1"}, **good),
            "for another alias": grants.sign(KEY, operation, {**move, "alias": "challenger"}, **good),
            "for another operation": grants.sign(KEY, "delete_registered_model_alias", move, **good),
            "for other holders": grants.sign(KEY, operation, move, audience="mlflow", expect={"alias:champion": [7]}),
            "that is cut": grants.sign(KEY, operation, move, **good)[:-2],
            "twice in one header": ", ".join([grants.sign(KEY, operation, move, **good)] * 2),
            "that is none": "v1.e30.e30",
        }
        for what, grant in bad.items():
            self.note(f"call a version champion with a grant {what}", REFUSED, self.send(operation, move, grant))

    def replay(self) -> None:
        """Seen on its way, and sent again after Countersign took the change back, to each process of the server."""
        operation, two = "set_registered_model_alias", {"name": self.model, "alias": "champion", "version": "2"}
        grant = grants.sign(KEY, operation, two, audience="mlflow", expect={"alias:champion": [1]})
        self.note("call version 2 champion with a grant", GOES_ON, self.send(operation, two, grant))
        self.granted(operation, {**two, "version": "1"}, expect={"alias:champion": [2]})
        for number in range(12):
            self.note(f"send a grant again ({number + 1})", REFUSED, self.send(operation, two, grant))

    def rename_into_the_rules(self) -> None:
        sandbox = f"sandbox_{self.model}"
        self.prepare(sandbox)
        move = {"name": sandbox, "version": "1", "stage": "Production"}
        self.note(
            "move a version that no rule is for to Production",
            GOES_ON,
            self.engineer.call("POST", "mlflow/model-versions/transition-stage", move),
        )
        new = {"name": sandbox, "new_name": f"{self.model}-too"}
        renamed = self.engineer.call("POST", "mlflow/registered-models/rename", new)
        self.note("rename it to what a rule is for", REFUSED, renamed)
        for name in (sandbox, attacks.prompt_of(sandbox)):
            self.note(
                f"delete {name}",
                GOES_ON,
                self.engineer.call("DELETE", "mlflow/registered-models/delete", {"name": name}),
            )

    def make_the_webhook(self) -> None:
        """Through which MLflow tells Countersign of changes; the policy that names it is fetched while all else goes
        on."""
        event = {"entity": "MODEL_VERSION", "action": "CREATED"}
        body = {"name": "countersign", "url": f"{self.site.url}/hook", "events": [event]}
        made = self.worker.call("POST", "mlflow/webhooks", body)
        if made.status == 404:
            return  # before MLflow had webhooks
        self.note("make a webhook", GOES_ON, made)
        self.webhook = str(json.loads(made.text)["webhook"]["webhook_id"])
        self.site.serve(policy_text(*self.site.rules, serial=self.site.serial + 1, webhooks=[self.webhook]))
        self.served_at = time.monotonic()

    def attack_the_webhook(self) -> None:
        if self.webhook:
            self.until(self.served_at + EVERY + 5 - time.monotonic(), lambda: False)  # each process asks for itself
            self.attack(attacks.webhook_attacks(self.webhook))

    def has_policy(self, serial: int) -> bool:
        probed = {"name": "countersign-probe-x", "version": "1", "key": "countersign.probe", "value": "x"}
        answers = [self.worker.call("POST", "mlflow/model-versions/set-tag", probed).error for _ in range(12)]
        return all(f"policy {serial}" in each for each in answers)

    def look_that_nothing_changed(self) -> None:
        version = self.engineer.call("GET", f"mlflow/model-versions/get?name={self.model}&version=1").text
        model = self.engineer.call("GET", f"mlflow/registered-models/get?name={self.model}").text
        found = json.loads(version)["model_version"]
        aliases = {each["alias"]: each["version"] for each in json.loads(model)["registered_model"]["aliases"]}
        state = (
            found["current_stage"],
            found["description"],
            {each["key"]: each["value"] for each in found["tags"]},
            aliases,
        )
        expected = ("Production", f"Trained again.\n\n{NOTE}", {attacks.TAG: "12"}, {"champion": "1"})
        self.outcomes.append(Outcome("all of this changed nothing", str(expected), str(state)))

    def go_on(self) -> None:
        model = f"fraud-{secrets.token_hex(3)}"
        self.prepare(model)
        self.attack(attacks.what_goes_on(model))

    def take_back(self) -> None:
        one = {"name": self.model, "version": "1"}
        alias = {"name": self.model, "alias": "champion"}
        self.granted("delete_registered_model_alias", alias, expect={"alias:champion": [1]})
        self.granted("delete_model_version_tag", {**one, "key": attacks.TAG})
        self.granted("update_model_version", {**one, "description": "Trained again."})
        move = {**one, "stage": "Archived", "archive_existing_versions": False}
        self.granted("transition_model_version_stage", move, expect={"stage:Production": [1]})
        self.note(
            "delete what holds nothing any more",
            GOES_ON,
            self.engineer.call("DELETE", "mlflow/registered-models/delete", {"name": self.model}),
        )

    def ask_what_was_told(self) -> None:
        wanted = {"stage:Production", "alias:champion", "note", f"tag:{attacks.TAG}"}
        self.until(20, lambda: wanted <= {told["place"] for told in self.site.refusals})
        told = {told["place"] for told in self.site.refusals}
        self.outcomes.append(
            Outcome("Countersign is told of refusals", str(sorted(wanted)), str(sorted(wanted & told)))
        )

    # --- Helpers

    def granted(
        self, operation: str, arguments: Mapping[str, Any], *, expect: Mapping[str, list[int]] | None = None
    ) -> None:
        grant = grants.sign(KEY, operation, arguments, audience="mlflow", expect=expect)
        self.note(f"{operation} with a grant", GOES_ON, self.send(operation, arguments, grant))

    def send(self, operation: str, arguments: Mapping[str, Any], grant: str) -> Answer:
        method, path = ROUTES[operation]
        content = json.dumps(arguments).encode()
        return self.worker.send(method, attacks.API + path, content, {grants.HEADER: grant})

    def note(self, title: str, expected: str, answer: Answer) -> None:
        attempt = attacks.Attempt(title, "", expected, "", "")
        self.outcomes.append(Outcome(title, expected, attacks.judge(attempt, answer), answer.text[:300]))

    @staticmethod
    def until(seconds: float, is_so: Callable[[], bool]) -> None:
        """Waits, at most so long; what comes after it tells whether it is so. Without a database, unlike
        `waiting.within`."""
        deadline = time.monotonic() + seconds
        while not is_so() and time.monotonic() < deadline:
            time.sleep(0.5)
