"""Shapes of what administrators send: targets, people, groups. Forms never save."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils.html import format_html

from accounts import identity_providers
from accounts import roles as role_names
from accounts.models import User
from approvals.models import Enforcement, Target
from mirror.models import Stage

# --- Targets ----------------------------------------------------------------------------------------------------------


ENFORCEMENTS = [
    (Enforcement.OFF, "Off: a change made there directly is found afterwards"),
    (Enforcement.OBSERVE, "Observe: a change made there directly is let through and recorded"),
    (Enforcement.ENFORCE, "Enforce: a change made there directly is refused"),
]


class TargetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Target
        fields = ["name", "stage", "alias", "archives_existing", "enforcement", "description", "position"]
        labels = {"stage": "MLflow stage", "alias": "MLflow alias", "position": "Place in lists"}
        help_texts = {
            "name": "What people read: Production, UAT, …",
            "stage": "Reaching the target moves the version to this stage.",
            "alias": 'Reaching the target sets this alias, without the "@".',
            "archives_existing": "Versions in the stage move to Archived. An alias just moves.",
            "enforcement": "Needs Countersign's gate in the MLflow server. Countersign's own deliveries pass.",
            "description": "What uses this target.",
            "position": "Smaller numbers come first. Staging starts at 10, Production at 20.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stages = [("", "No stage"), *((str(name), str(name)) for name in (Stage.STAGING, Stage.PRODUCTION))]
        self.fields["stage"] = forms.ChoiceField(
            choices=stages, required=False, label="MLflow stage", help_text=self.Meta.help_texts["stage"]
        )
        self.fields["archives_existing"].label = "Archive the existing holder"
        self.fields["enforcement"] = forms.ChoiceField(
            choices=ENFORCEMENTS, label="In MLflow", help_text=self.Meta.help_texts["enforcement"]
        )
        if self.is_bound and "enforcement" not in self.data:  # a page from before there was the field
            sent = {name: self.data.get(name) for name in self.data}
            self.data = sent | {"enforcement": self.instance.enforcement}

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        same = Target.objects.filter(name__iexact=name).exclude(pk=self.instance.pk).first()
        if same:
            retired = " It is retired; the history still shows the name." if same.retired_at else ""
            raise forms.ValidationError(f"A target with this name already exists.{retired}")
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
                self.add_error(field, f"The target {other} already has this {field}.")
        return found


# --- People -----------------------------------------------------------------------------------------------------------


class GroupChoices(forms.CheckboxSelectMultiple):
    decided: Mapping[str, str] = MappingProxyType({})
    """Names of groups that are locked, because an identity provider decides about them, with its name."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["attrs"] |= {"disabled": True} if value.instance.name in self.decided else {}
        return option


class GroupsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    widget = GroupChoices

    def label_from_instance(self, group: Any) -> str:
        return format_html("{}{}", group.name, self._note(group.name))

    def _note(self, name: str, text: str = "") -> str:
        by = self.widget.decided.get(name)
        note = " ".join(filter(None, [text, f"From {by}." if by else ""]))
        return format_html('<span class="row-note">{}</span>', note) if note else ""


class RolesField(GroupsField):
    def label_from_instance(self, group: Any) -> str:
        note = self._note(group.name, role_names.DESCRIPTIONS[group.name])
        return format_html('<span class="row-title">{}</span>{}', group.name.capitalize(), note)


class GroupsForm(forms.Form):
    """Roles and groups of one person, as checkboxes."""

    roles = RolesField(
        Group.objects.filter(name__in=role_names.PERMISSIONS).order_by("pk"),
        required=False,
        help_text="A person can have several. Requesters never approve their own requests, whatever their roles.",
    )
    groups = GroupsField(
        Group.objects.exclude(name__in=role_names.PERMISSIONS).order_by("name"),
        required=False,
        help_text="Policies can require approvals from a group. Only its reviewers count.",
    )

    def all_groups(self) -> list[Group]:
        return [*self.cleaned_data["roles"], *self.cleaned_data["groups"]]

    @staticmethod
    def initial_of(person: User) -> dict[str, list[int]]:
        mine = list(person.groups.values_list("pk", flat=True))
        return {"roles": mine, "groups": mine}


class PersonForm(GroupsForm):
    """Roles, groups, what MLflow calls this person, and whether it is one."""

    mlflow_names = forms.CharField(
        max_length=1000,
        required=False,
        label="Names in MLflow",
        help_text=(
            "Separated by commas. The full name and the e-mail address (also the part before the @) always "
            "count, including former ones. Policies can exclude contributors by these names."
        ),
    )
    former_mlflow_names = forms.CharField(
        max_length=1000,
        required=False,
        label="Former names in MLflow",
        help_text="Still count. Remove one only if it never belonged to this person.",
    )
    is_service_account = forms.BooleanField(
        required=False,
        label="Service account",
        help_text="A program: it can request promotions and never approves.",
    )
    owner = forms.ModelChoiceField(
        User.objects.people().active().filter(is_service_account=False).order_by("name", "email"),
        required=False,
        label="Owner of the service account",
        empty_label="No one",
        help_text=(
            "Makes its API tokens, and counts as the requester of its requests, so the owner never approves them. "
            "With another owner its tokens end."
        ),
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **{"initial": self.initial_of(person)} | kwargs)
        self._person, self.decided = person, identity_providers.decided_for(person)
        for name in ("roles", "groups"):
            self.fields[name].widget.decided = self.decided

    def all_groups(self) -> list[Group]:
        """What an identity provider decides about stays as it is: browsers do not send locked boxes."""
        kept = self._person.groups.filter(name__in=self.decided)
        return [*(each for each in super().all_groups() if each.name not in self.decided), *kept]

    @staticmethod
    def initial_of(person: User) -> dict[str, Any]:
        named = {
            "mlflow_names": ", ".join(person.mlflow_names),
            "former_mlflow_names": ", ".join(person.former_mlflow_names),
            "is_service_account": person.is_service_account,
            "owner": person.owner_id,
        }
        return GroupsForm.initial_of(person) | named

    def names(self, field: str) -> list[str]:
        return list(dict.fromkeys(filter(None, map(str.strip, self.cleaned_data[field].split(",")))))


class InviteForm(GroupsForm):
    name = forms.CharField(max_length=120, label="Full name", help_text="Shown on their requests and approvals.")
    email = forms.EmailField(max_length=254, label="E-mail address", help_text="The invitation goes here.")
    field_order = ["name", "email", "roles", "groups"]

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        person = User.objects.filter(email__iexact=email).first()
        if person:
            raise forms.ValidationError(whose_address(person))
        return email


def whose_address(person: User) -> str:
    """Why no one else is invited to the address of this person."""
    inactive = "" if person.is_active else " The account is deactivated; reactivate it instead."
    return f"{person.name or person.email} has this address already.{inactive}"


class PseudonymiseForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Who asked for it, and when. It stays in the history, so leave the name and the address out.",
    )
    email = forms.CharField(
        max_length=254,
        label="E-mail address of this person",
        help_text="Type it to confirm. This cannot be undone.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip()
        if email.lower() != self.person.email.lower():
            raise forms.ValidationError("The address does not match this person.")
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
