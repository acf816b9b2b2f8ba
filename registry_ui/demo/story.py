"""What has happened in the demo before you sign in: requests and reviews by its people, carried out by the real worker.

Every step looks first whether it is done, so a seeding that was stopped half-way goes on where it was.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db.models import QuerySet

from accounts.models import User
from approvals import administration, workflow
from approvals.models import (
    Assessment,
    Checkpoint,
    Comment,
    Enforcement,
    Incident,
    Policy,
    PromotionRequest,
    Signing,
    Target,
    Tenure,
    Verification,
)
from approvals.policy import CheckRule, Effect, Rule, SlotRule
from approvals.tenures import importing
from mirror.models import ModelVersion
from registry_ui.demo import people
from registry_ui.demo.people import RISK, Cast

PATIENCE_SECONDS = 90.0
EARLIER_HISTORY = Path(__file__).with_name("earlier_history.csv")
TEAM = {
    "basket_value": "Three more months. The first version was smoothed far too much.",
    "delivery_eta": "Three more months, the autumn rain among them.",
    "email_opens": "Three more months; as good as before, and it has seen the new newsletter.",
    "energy_load": "Smoother, so that one open door does not start the second compressor. It costs accuracy.",
    "fraud_card": "Weaker regularisation and three more months. The desk has looked at a hundred cases.",
    "fraud_wire": "Weaker regularisation and three more months.",
    "lead_scoring": "Three more months.",
    "stock_shrink": "Half the error of the first version.",
}
"""What Rita writes for version 2 of each."""


class StoryError(Exception):
    """The worker did not do its part; the message says which."""


@dataclass(frozen=True)
class Story:
    cast: Cast
    tell: Callable[[str], None]
    """Called with what is waited for or done now."""

    go_round: Callable[[], None]
    """Moves demand_forecast version 2 to Production in MLflow, past the gate."""

    def play(self) -> None:
        self._earlier_history_is_imported()
        self._strict_policy_for_credit()
        self._linear_forecast_is_rejected_and_goes_round_the_gate()
        self._the_watch_has_noticed()
        self._mlflow_enforces_from_now_on()
        self._version_5_reaches_production()
        self._version_6_reaches_production()
        self._version_7_reaches_staging_and_waits()
        self._first_credit_model_waits_for_the_risk_group()
        self._router_needs_changes()
        self._blocked_for_want_of_provenance()
        self._the_rest_of_the_team_asks()
        self._the_ledger_is_signed_and_verified()

    def _strict_policy_for_credit(self) -> None:
        production = Target.objects.get(name="Production")
        if Policy.objects.filter(model_pattern="credit_*", target=production).exists():
            return
        rule = Rule(
            model_pattern="credit_*",
            slots=(SlotRule(1, RISK, ("metrics", "champion", "data")), SlotRule(1)),
            requires_reason=True,
            open_for_days=30,
            checks=(
                CheckRule("provenance", Effect.WARN),
                CheckRule("metric_regression", Effect.BLOCK, {"metric": "auc_roc", "margin": 0.02}),
                CheckRule("serialization", Effect.BLOCK),
                CheckRule("description_present", Effect.WARN),
            ),
        )
        administration.save_policy(Policy(target=production), rule, by=self.cast.ada)

    def _earlier_history_is_imported(self) -> None:
        """From the list that the team kept by hand: marked as imported wherever it shows."""
        if Tenure.objects.filter(origin=Tenure.Origin.IMPORTED).exists():
            return
        content = EARLIER_HISTORY.read_bytes()
        models = {row.model for row in importing.check(content).rows}
        self.tell("the worker looks at what is in place")
        self._wait(
            lambda: Tenure.objects.filter(model_name__in=models).values("model_name").distinct().count() == len(models),
            "The worker has not found what is in Production",
        )
        administration.import_history(
            content, file=EARLIER_HISTORY.name, confirmed=importing.digest(content), by=self.cast.ada
        )

    def _the_rest_of_the_team_asks(self) -> None:
        """Two are approved and delivered; the others wait for a review."""
        production = Target.objects.get(name="Production")
        asked = {model: self._ask_at_once(model, 2, production, why) for model, why in TEAM.items()}
        for model in ("lead_scoring", "stock_shrink"):
            request = self._checked(asked[model])
            self._approve(request, self.cast.rosa, "")
            self._approve(request, self.cast.remy, "Better on the same hold-out.")
            self._wait_until_applied(request)
        for request in asked.values():
            self._checked(request)

    def _blocked_for_want_of_provenance(self) -> None:
        production = Target.objects.get(name="Production")
        if not Policy.objects.filter(model_pattern="ticket_*", target=production).exists():
            rule = Rule(model_pattern="ticket_*", slots=(SlotRule(2),), checks=(CheckRule("provenance"),))
            administration.save_policy(Policy(target=production), rule, by=self.cast.ada)
        self._ask("ticket_router", 1, "Production", "The support team is waiting for it.")

    def _version_5_reaches_production(self) -> None:
        """What version 6 can be rolled back to: approved, and a holder before it."""
        self._mirrored("churn_predictor", 4, is_live=True)
        why = "August is in. Shallower trees, which lose nothing and are easier to explain."
        request = self._ask("churn_predictor", 5, "Production", why)
        self._approve(request, self.cast.rosa, "Same data set as version 4, one month more.")
        self._approve(request, self.cast.remy, "As good as version 4 with the smaller trees.")
        self._wait_until_applied(request)

    def _version_6_reaches_production(self) -> None:
        request = self._ask(
            "churn_predictor",
            6,
            "Production",
            "Three months of data after the price rise. Better than version 5 in auc_roc; the integration tests pass.",
        )
        self._approve(request, self.cast.remy, "The gain holds for both ends of the tenure range; I checked the run.")
        self._approve(request, self.cast.rosa, "Data hash and cutoff are as agreed.")
        self._wait_until_applied(request)

    def _version_7_reaches_staging_and_waits(self) -> None:
        staged = self._ask("churn_predictor", 7, "Staging", "For the integration tests.")
        self._approve(staged, self.cast.rosa, "")
        self._wait_until_applied(staged)
        request = self._ask(
            "churn_predictor",
            7,
            "Production",
            "October is in, and the hundred customers that we can call are picked better. "
            "The integration tests have run in Staging.",
        )
        self._say(request, self.cast.remy, "Which customers are in the hold-out? The same ones as for version 6?")
        self._say(request, self.cast.rita, "The same ones. They are in the training data of no version.")

    def _first_credit_model_waits_for_the_risk_group(self) -> None:
        reason = "The first model for the new loan desk. It has run in shadow for two weeks."
        request = self._ask("credit_risk", 2, "Production", reason)
        self._approve(request, self.cast.remy, "Clean run, sensible coefficients. Risk has to look at it, too.")

    def _linear_forecast_is_rejected_and_goes_round_the_gate(self) -> None:
        self._mirrored("demand_forecast", 1, is_live=True)
        why = "Ten times faster than the forest, which the shops would notice."
        request = self._ask("demand_forecast", 2, "Production", why)
        if request.status == "pending" and request.champion is not None:
            before, after = request.champion.metrics["mae"], request.version.metrics["mae"]
            reason = f"The mean error goes from {before:.1f} to {after:.1f} units. That is too much to pay for speed."
            workflow.review(request, by=self.cast.rosa, verdict="reject", comment=reason)
        if not self._incidents().exists():
            self.go_round()

    def _the_watch_has_noticed(self) -> None:
        self.tell("the worker notices the change in MLflow outside Countersign")
        self._wait(self._incidents().exists, "The worker has not noticed that demand_forecast was moved")

    def _mlflow_enforces_from_now_on(self) -> None:
        """What is delivered from here on passes the gate in MLflow, and nothing else does."""
        people.enforce_production(Enforcement.ENFORCE, by=self.cast.ada)

    def _the_ledger_is_signed_and_verified(self) -> None:
        """The worker verifies within the minute; nobody waits for it here."""
        if not Checkpoint.objects.exists():
            self._wait(lambda: bool(Signing.objects.current().key), "The worker has not said with which key it signs")
            administration.ask_to_sign(by=self.cast.ada)
            self._wait(Checkpoint.objects.exists, "The worker has not signed the ledger")
        if not Verification.objects.filter(asked_by=self.cast.vera).exists():
            with contextlib.suppress(workflow.Conflict):  # the worker is at it by itself
                administration.ask_to_verify(by=self.cast.vera)

    def _router_needs_changes(self) -> None:
        request = self._ask("ticket_router", 1, "Staging", "Ready for the support team to try.")
        if request.status == "pending":
            reason = "I cannot tell what it was trained on. Please log training_data_hash and training_cutoff."
            workflow.review(request, by=self.cast.remy, verdict="request_changes", comment=reason)

    # --- Steps

    def _incidents(self) -> QuerySet[Incident]:
        return Incident.objects.filter(model_name="demand_forecast")

    def _ask(self, model: str, number: int, target_name: str, justification: str) -> PromotionRequest:
        target = Target.objects.get(name=target_name)
        return self._checked(self._ask_at_once(model, number, target, justification))

    def _ask_at_once(self, model: str, number: int, target: Target, justification: str) -> PromotionRequest:
        version = self._mirrored(model, number)
        asked = PromotionRequest.objects.filter(version=version, target=target, requester=self.cast.rita)
        return asked.order_by("pk").first() or workflow.request_promotion(
            version, target, by=self.cast.rita, justification=justification
        )

    def _checked(self, request: PromotionRequest) -> PromotionRequest:
        self.tell(f"the worker checks request #{request.pk}")
        self._wait(
            lambda: not Assessment.objects.filter(request=request, concluded_at=None).exists(),
            f"The worker has not checked request #{request.pk}",
        )
        request.refresh_from_db()
        return request

    def _approve(self, request: PromotionRequest, by: User, comment: str) -> None:
        if not request.reviews.filter(reviewer=by).exists():
            workflow.review(request, by=by, verdict="approve", comment=comment)

    def _say(self, request: PromotionRequest, by: User, body: str) -> None:
        if not Comment.objects.filter(request=request, author=by, body=body).exists():
            workflow.comment(request, by=by, body=body)

    def _mirrored(self, model: str, number: int, *, is_live: bool = False) -> ModelVersion:
        """The version as the worker has mirrored it, with what people decide on: metrics and, if live, its stage."""
        self.tell(f"the mirror shows {model} version {number}")
        found = ModelVersion.objects.select_related("model").filter(
            model__name=model, number=number, facts_at__isnull=False, deleted_at=None
        )
        if is_live:
            found = found.exclude(stage="None")
        self._wait(found.exists, f"The worker has not mirrored {model} version {number}")
        return found.get()

    def _wait_until_applied(self, request: PromotionRequest) -> None:
        self.tell(f"the worker delivers request #{request.pk}")
        self._wait(
            lambda: PromotionRequest.objects.get(pk=request.pk).status not in ("pending", "approved"),
            f"The worker has not delivered request #{request.pk}",
        )
        request.refresh_from_db()
        if request.status == "failed":
            raise StoryError(f"MLflow refused request #{request.pk}: {request.status_reason}")

    def _wait(self, is_done: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise StoryError(f"{problem} within {PATIENCE_SECONDS:.0f} seconds.")
            time.sleep(0.1)
