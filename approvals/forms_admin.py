"""Shapes of what administrators send: policies with their slots, targets, people, groups. Forms never save."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.utils.html import format_html

from approvals.models import Policy, Target
from approvals.policy import Rule, SlotRule, rules
from registry_ui.accounts import roles as role_names
from registry_ui.accounts.models import User
from registry_ui.mirror.models import Stage

# --- Policies ---------------------------------------------------------------------------------------------------------


class PolicyForm(forms.Form):
    target = forms.ModelChoiceField(Target.objects.none(), empty_label="Choose a target")
    model_pattern = forms.CharField(
        max_length=256,
        label="Models",
        initial="*",
        help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.",
    )
    requires_reason = forms.BooleanField(
        required=False, label="Approvals need a comment", help_text="Rejecting always needs one."
    )
    open_for_days = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_DAYS,
        initial=14,
        label="Days a request stays open",
        help_text="A request that is not decided by then expires.",
    )

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy = policy
        self.fields["target"].queryset = Target.objects.current()  # type: ignore[attr-defined]

    def clean_model_pattern(self) -> str:
        return str(self.cleaned_data["model_pattern"]).strip()

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        same = Policy.objects.filter(
            model_pattern=found.get("model_pattern"), target=found.get("target"), retired_at=None
        ).exclude(pk=self.policy.pk)
        if found.get("target") and same.exists():
            self.add_error(
                "model_pattern", f"{found['target']} already has a policy for this pattern. Change that one."
            )
        return found

    @staticmethod
    def initial_of(policy: Policy) -> dict[str, Any]:
        rule = Rule.from_json(policy.terms)
        return {
            "target": policy.target_id,
            "model_pattern": rule.model_pattern,
            "requires_reason": rule.requires_reason,
            "open_for_days": rule.open_for_days,
        }

    def rule(self, slots: list[SlotRule]) -> Rule:
        """The document that was typed, over what the policy says about the rest."""
        base = Rule.from_json(self.policy.terms) if self.policy.pk else Rule(model_pattern="*", slots=())
        typed = {name: self.cleaned_data[name] for name in ("model_pattern", "requires_reason", "open_for_days")}
        return replace(base, slots=tuple(slots), **typed)


class GroupField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, group: Any) -> str:
        return str(group.name)


class SlotForm(forms.Form):
    approvals = forms.IntegerField(min_value=1, max_value=20, required=False, label="Number")
    group = GroupField(Group.objects.none(), required=False, empty_label="Any reviewer", label="From")

    def __init__(self, *args: Any, groups: QuerySet[Group], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["group"].queryset = groups  # type: ignore[attr-defined]


class BaseSlotFormSet(forms.BaseFormSet):  # type: ignore[type-arg]
    """Rows without a number of approvals are not used; that is also how a slot is taken away."""

    def clean(self) -> None:
        if any(self.errors):
            return
        wanted = self.slots()
        if not wanted:
            raise forms.ValidationError("A policy needs at least one approval. Fill in the first row.")
        groups = [slot.group for slot in wanted]
        if len(groups) != len(set(groups)):
            raise forms.ValidationError("Two rows ask for the same group. Add their numbers up in one row.")

    def slots(self) -> list[SlotRule]:
        rows = (form.cleaned_data for form in self.forms)
        return [
            SlotRule(row["approvals"], row["group"].name if row.get("group") else None)
            for row in rows
            if row.get("approvals")
        ]


SlotFormSet: Any = forms.formset_factory(SlotForm, formset=BaseSlotFormSet, extra=2, max_num=12, validate_max=True)


def slot_forms(data: Mapping[str, Any] | None, policy: Policy) -> Any:
    """The slots of a policy, and two empty rows after them; a new policy starts with one approval of any reviewer."""
    slots = Rule.from_json(policy.terms).slots if policy.pk else ()
    named = Group.objects.in_bulk([slot.group for slot in slots if slot.group], field_name="name")
    initial = [
        {"approvals": slot.approvals, "group": named[slot.group].pk if slot.group in named else None} for slot in slots
    ] or [{"approvals": 1}]
    # Roles are not offered: everyone who may review is a reviewer already.
    groups = Group.objects.filter(~Q(name__in=role_names.PERMISSIONS) | Q(name__in=named)).order_by("name")
    # Rows that were sent stand for themselves: a row that equals an initial one would count as empty.
    return SlotFormSet(data, initial=None if data else initial, prefix="slots", form_kwargs={"groups": groups})


# --- Targets ----------------------------------------------------------------------------------------------------------


class TargetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Target
        fields = ["name", "stage", "alias", "archives_existing", "description", "position"]
        labels = {"stage": "MLflow stage", "alias": "MLflow alias", "position": "Place in lists"}
        help_texts = {
            "name": "What people read: Production, UAT, …",
            "stage": "Reaching the target moves the version to this stage.",
            "alias": 'Reaching the target sets this alias, without the "@".',
            "archives_existing": "Versions in the stage move to Archived. An alias just moves.",
            "description": "What depends on it.",
            "position": "Smaller numbers come first. Staging starts at 10, Production at 20.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stages = [("", "No stage"), *((str(name), str(name)) for name in (Stage.STAGING, Stage.PRODUCTION))]
        self.fields["stage"] = forms.ChoiceField(
            choices=stages, required=False, label="MLflow stage", help_text=self.Meta.help_texts["stage"]
        )
        self.fields["archives_existing"].label = "Archive the existing holder"

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        same = Target.objects.filter(name__iexact=name).exclude(pk=self.instance.pk).first()
        if same:
            retired = " It is retired, and the history goes on naming it." if same.retired_at else ""
            raise forms.ValidationError(f"There is already a target with this name.{retired}")
        return name

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        stage, alias = found.get("stage"), found.get("alias")
        if not stage and not alias and "alias" not in self.errors:
            self.add_error("stage", "Choose a stage, name an alias, or both.")
        if found.get("archives_existing") and not stage:
            self.add_error("archives_existing", "Only a stage can archive. Choose one, or leave this off.")
        others = Target.objects.current().exclude(pk=self.instance.pk)
        for field, value in (("stage", stage), ("alias", alias)):
            other = others.filter(**{field: value}).first() if value else None
            if other:
                self.add_error(field, f"The target {other} means this {field} already.")
        return found


# --- People -----------------------------------------------------------------------------------------------------------


class RolesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, group: Any) -> str:
        return format_html(
            '<span class="row-title">{}</span><span class="row-note">{}</span>',
            group.name.capitalize(),
            role_names.DESCRIPTIONS[group.name],
        )


class GroupsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, group: Any) -> str:
        return str(group.name)


class GroupsForm(forms.Form):
    """Roles and groups of one person, as checkboxes."""

    roles = RolesField(
        Group.objects.filter(name__in=role_names.PERMISSIONS).order_by("pk"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="A person can have several. Whoever asks for a promotion never decides on it, whatever their roles.",
    )
    groups = GroupsField(
        Group.objects.exclude(name__in=role_names.PERMISSIONS).order_by("name"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Policies can ask for approvals from a group. Only reviewers in it count.",
    )

    def all_groups(self) -> list[Group]:
        return [*self.cleaned_data["roles"], *self.cleaned_data["groups"]]

    @staticmethod
    def initial_of(person: User) -> dict[str, list[int]]:
        mine = list(person.groups.values_list("pk", flat=True))
        return {"roles": mine, "groups": mine}


class InviteForm(GroupsForm):
    name = forms.CharField(max_length=120, label="Full name", help_text="Stands on their requests and approvals.")
    email = forms.EmailField(max_length=254, label="E-mail address", help_text="The invitation goes here.")
    field_order = ["name", "email", "roles", "groups"]

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        person = User.objects.filter(email__iexact=email).first()
        if person:
            inactive = "" if person.is_active else " The account is deactivated; reactivate it instead."
            raise forms.ValidationError(f"{person.name or email} has this address already.{inactive}")
        return email


class GroupForm(forms.Form):
    name = forms.CharField(max_length=150, label="Name of the new group")


class PeopleFilterForm(forms.Form):
    q = forms.CharField(required=False, max_length=200, label="Name or e-mail", widget=forms.SearchInput)
    group = forms.ModelChoiceField(
        Group.objects.order_by("name"), required=False, label="Role or group", empty_label="All", to_field_name="name"
    )
    state = forms.ChoiceField(
        choices=[("", "All"), ("active", "Active"), ("deactivated", "Deactivated")], required=False, label="State"
    )
