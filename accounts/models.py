"""People. A person is deactivated, never deleted: the ledger points at them."""

from functools import lru_cache
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, Permission, PermissionsMixin
from django.db import connection, models, transaction
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.functional import cached_property

COUNTERSIGN = "countersign@countersign.invalid"
"""Address of the account in whose name the program itself makes requests; no mail can reach it."""


class UserQuerySet(models.QuerySet["User"]):
    def active(self) -> "UserQuerySet":
        return self.filter(is_active=True)

    def people(self) -> "UserQuerySet":
        """Without the program's own account, which no one administers."""
        return self.exclude(email=COUNTERSIGN)

    def who_sign_in(self) -> "UserQuerySet":
        """Without service accounts, which never do."""
        return self.filter(is_service_account=False)

    def holding(self, permission: str) -> "UserQuerySet":
        """Active people who have `app_label.codename` through one of their groups. Order is by name."""
        app_label, codename = permission.split(".")
        return (
            self.active()
            .filter(groups__permissions__codename=codename, groups__permissions__content_type__app_label=app_label)
            .distinct()
            .order_by("name", "email")
        )


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Stores a person; the address in lower case, None for no one's password: then no password signs them in."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def countersign(self) -> "User":
        """The program's own account: inactive, so that no one can sign in as it, without roles, and made when it is
        first needed. Safe to call from two workers at once."""
        made: User = self.get_or_create(
            email=COUNTERSIGN,
            defaults={"name": "Countersign", "is_active": False, "is_service_account": True, "password": "!"},
        )[0]
        return made

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField(default=timezone.now)
    is_service_account = models.BooleanField(
        default=False, help_text="A program, not a person: may ask for promotions, can never sign."
    )
    mlflow_names = models.JSONField(
        default=list, blank=True, help_text="What MLflow calls this person, besides the e-mail address; list of text."
    )
    former_mlflow_names = models.JSONField(
        default=list, blank=True, help_text="What an administrator noted before; still counts; list of text."
    )
    former_names = models.JSONField(
        default=list, blank=True, help_text="Names and e-mail addresses that they had before; list of text."
    )
    owner = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Of a service account: who answers for it, and counts as the requester of what it asks.",
    )
    pseudonymised_at = models.DateTimeField(
        null=True, blank=True, help_text="Name and address were taken away then; there is no way back."
    )
    uses_shortcuts = models.BooleanField(default=True, help_text="Single-letter keyboard shortcuts (WCAG 2.1.4).")
    time_zone = models.CharField(
        max_length=64, default="", blank=True, help_text="On whose clock pages show times; blank: the browser's."
    )

    saved_views = models.JSONField(
        default=dict, blank=True, help_text="Filters of pages by name, by page: see components.saved_views."
    )

    hides_first_day = models.BooleanField(
        default=False, help_text="An administrator who needs the checklist of the first day no more."
    )

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    objects: ClassVar[Any] = UserManager.from_queryset(UserQuerySet)()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_person_per_email")]
        permissions = [("manage_people", "May invite people, give roles and deactivate accounts")]

    def __str__(self) -> str:
        return self.label

    def save(self, *args: Any, **kwargs: Any) -> None:
        """In a transaction: what others record of a change of name commits with it, or neither does. What they were
        called before is kept: no one sheds what they did by another name or address."""
        with transaction.atomic():
            fields = kwargs.get("update_fields")
            if self.pk is not None and (fields is None or {"name", "email"} & set(fields)):
                stored = User.objects.filter(pk=self.pk).values_list("name", "email", "former_names").first()
                *before, former = stored or ([],)
                added = [text for text in before if text not in (self.name, self.email, *former)]
                if added:
                    self.former_names = [*former, *added]
                    kwargs |= {"update_fields": {*fields, "former_names"}} if fields is not None else {}
            super().save(*args, **kwargs)

    @property
    def label(self) -> str:
        """How the person is named in the ledger, in MLflow and on pages: `Remy Ortiz <remy@example.com>`."""
        return f"{plain(self.name)} <{plain(self.email)}>"

    @property
    def is_countersign(self) -> bool:
        """Whether this is the program's own account."""
        return self.email == COUNTERSIGN

    @property
    def known_as(self) -> frozenset[str]:
        """What MLflow may call this person, in lower case: names and e-mail addresses that they have or ever had, what
        stands before the @ of those, and the names that an administrator noted or had noted."""
        own = [str(text).lower() for text in (self.name, self.email, *self.former_names)]
        before_at = [text.partition("@")[0] for text in own if "@" in text]
        noted = [str(text).lower() for text in (*self.mlflow_names, *self.former_mlflow_names)]
        return frozenset({*own, *before_at, *noted} - {""})

    @property
    def is_answered_for(self) -> bool:
        """False of a service account without an active person as owner, which may ask for nothing."""
        is_program, owner = self.is_service_account and not self.is_countersign, self.owner
        return not is_program or (owner is not None and owner.is_active and not owner.is_service_account)

    @cached_property
    def _roles(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """Their groups, in order, and what these and they themself are permitted: every page asks for both. One query,
        the first time; as of then."""
        with connection.cursor() as cursor:
            cursor.execute(*_roles_of(self.pk))
            rows = cursor.fetchall()
        groups = sorted({group for group, *_ in rows if group})
        return tuple(groups), frozenset(f"{app}.{codename}" for _, app, codename in rows if codename)

    @property
    def group_names(self) -> tuple[str, ...]:
        return self._roles[0]

    is_held = False
    """In this request: a second factor is owed first, so the frame of the page shows nothing of what their role may."""

    @property
    def has_role(self) -> bool:
        """Whether anything is permitted to them. Who has no role reads nothing (`registry_ui.middleware`)."""
        return bool(self.get_all_permissions()) and not self.is_held

    def get_all_permissions(self, obj: models.Model | None = None) -> set[str]:
        """What the one backend would say, which asks twice."""
        if self.is_superuser or obj is not None:
            return super().get_all_permissions(obj)
        return set(self._roles[1]) if self.is_active else set()

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        if self.is_superuser or obj is not None:
            return super().has_perm(perm, obj)
        return self.is_active and perm in self._roles[1]

    @property
    def asks_as(self) -> frozenset[int]:
        """Ids of those who count as the requester of what this account asks now."""
        owner = self.owner_id if self.is_service_account else None
        return frozenset({self.pk} if owner is None else {self.pk, owner})

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0]


class TrustedPublisherQuerySet(models.QuerySet["TrustedPublisher"]):
    def current(self) -> "TrustedPublisherQuerySet":
        return self.filter(retired_at=None)


class TrustedPublisher(models.Model):
    """Jobs of this repository get tokens of the account in exchange for identity tokens (`accounts.id_tokens`)."""

    account = models.ForeignKey(User, on_delete=models.PROTECT, related_name="publishers", help_text="As whom it acts.")
    provider = models.CharField(max_length=20, choices=[("github", "GitHub Actions"), ("gitlab", "GitLab")])
    issuer = models.CharField(max_length=300)
    repository = models.CharField(max_length=200, help_text="With its owner or group: acme/churn.")
    repository_id = models.CharField(
        max_length=300, blank=True, default="", help_text="The issuer's number of it, as the first job said."
    )
    ref_pattern = models.CharField(max_length=200, help_text="refs/heads/main; * stands for anything.")
    environment = models.CharField(max_length=200, blank=True, default="", help_text="Blank: any, or none.")
    scopes = models.JSONField(help_text="What its tokens can be used for; list of text.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    objects: ClassVar[Any] = TrustedPublisherQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.repository} on {self.ref_pattern}"


class TokenQuerySet(models.QuerySet["ApiToken"]):
    def live(self) -> "TokenQuerySet":
        """Neither revoked nor expired."""
        return self.filter(revoked_at=None, expires_at__gt=timezone.now())


class ApiToken(models.Model):
    """With it a program acts as a person or a service account (`accounts.tokens`). Never deleted: the ledger names it.
    The token itself is shown once, and kept nowhere."""

    account = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_tokens", help_text="As whom it acts.")
    name = models.CharField(max_length=80, help_text="What it is for: its pipeline, script or machine.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, hexadecimal.")
    prefix = models.CharField(max_length=12, help_text="How it begins, by which it is known again.")
    scopes = models.JSONField(help_text="What it can be used for; list of text.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the hour.")
    last_used_from = models.CharField(
        max_length=45, blank=True, default="", help_text="The client's address at the first use in that hour."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    publisher = models.ForeignKey(
        TrustedPublisher,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose job got it.",
    )
    proof = models.CharField(
        max_length=64, null=True, blank=True, unique=True, help_text="SHA-256 of what it was exchanged for, taken once."
    )
    run = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text="Link to the job that got it, as its issuer says.",
    )

    objects: ClassVar[Any] = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"token {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()


@lru_cache(maxsize=1024)
def _roles_of(person: int) -> tuple[str, Any]:
    """SQL and parameters, which are composed once for each person: rows of group, app and permission."""
    permission = ("content_type__app_label", "codename")
    by_group = Group.objects.filter(user=person).values_list("name", *(f"permissions__{each}" for each in permission))
    own = Permission.objects.filter(user=person).order_by().values_list(Value("", models.TextField()), *permission)
    sql, parameters = by_group.union(own, all=True).query.sql_with_params()
    return sql, parameters


def role_held_by(person: str) -> Exists:
    """In a query: whether a group permits anything to the person whom this field names, as `User.has_role` says it."""
    return Exists(Group.objects.filter(user=OuterRef(person), permissions__isnull=False))


def plain(text: str) -> str:
    """One line without the characters that part one person from the next where labels are listed: a name such as
    `Rosa Lind <rosa@example.com>, Eve` must not read as two people."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.translate(_PARTING).split())


_PARTING = str.maketrans(dict.fromkeys("<>,;", " "))


def label_of(user: User) -> str:
    return user.name or user.email
