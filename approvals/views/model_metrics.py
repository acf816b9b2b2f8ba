"""The metrics of record that a model brings itself: a small form."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from approvals import administration
from approvals.forms.metrics_of_record import ModelMetricsForm, metric_forms
from approvals.models import Target
from approvals.selectors import metrics_of_record, rules
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest
from approvals.workflow import Conflict
from mirror.models import RegisteredModel


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def edit(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_object_or_404(RegisteredModel, name=name)
    own = rules.own_metrics(model.name)
    form = ModelMetricsForm(request.POST or None, initial={"seen": own.version if own else 0})
    rows = metric_forms(request.POST or None, own.rules if own else ())
    attempt = Attempt(form)
    if request.method == "POST" and all([form.is_valid(), rows.is_valid()]):
        with attempt:
            administration.save_model_metrics(model, rows.rules(), by=request.user, seen=form.cleaned_data["seen"])
            messages.success(request, f"The metrics of record of {model.name} are saved. Open requests keep theirs.")
            return redirect(model)
        if isinstance(attempt.refusal, Conflict):
            now = rules.own_metrics(model.name)
            form.now_over(now.version if now else 0)
    context = {
        "model": model,
        "form": form,
        "metrics": rows,
        "names": metrics_of_record.names_of(model),
        "policies": metrics_of_record.of_policies(model, Target.objects.current()),
    }
    status = attempt.status if attempt.refusal or form.errors else 200 if rows.is_valid() else 422
    return render(request, "approvals/policies/model_metrics.html", context, status=status)
