"""All settings, read from the environment and checked before anything starts.

Every variable is documented in docs/operations.md; a test fails when one is missing there. A value that makes no sense
stops the start with a sentence that names the variable (`registry_ui.environment`).
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from accounts import roles
from mirror.clock import MOST_SECONDS
from registry_ui import environment, lanes, sign_in

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment.Environment()

# --- This installation ------------------------------------------------------------------------------------------------

STATE_DIR = env.folder("COUNTERSIGN_STATE_DIR", default=BASE_DIR / ".countersign", create=True)
DEBUG = env.flag("COUNTERSIGN_DEBUG", default=False)
SECRET_KEY = env.secret("COUNTERSIGN_SECRET_KEY", min_length=32, required=not DEBUG, default="only-for-debug-" * 4)
SITE_URL = env.url(
    "COUNTERSIGN_SITE_URL", default="http://127.0.0.1:8000", schemes=("http", "https"), may_have_path=False
)
SITE_NAME = env.text("COUNTERSIGN_SITE_NAME", default="Countersign")
IS_HTTPS = SITE_URL.startswith("https://")

_site = urlsplit(SITE_URL)
ALLOWED_HOSTS = [_site.hostname or "127.0.0.1", *env.words("COUNTERSIGN_EXTRA_HOSTS")]
if _site.hostname in {"127.0.0.1", "localhost"}:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost"]
CSRF_TRUSTED_ORIGINS = [f"{_site.scheme}://{_site.netloc}"]

# --- Apps and middleware ----------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "accounts",
    "mirror",
    "components",
    "registry_ui",
    "approvals",
    "api",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "django_filters",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "registry_ui.apps.StaticFiles",
    "django.forms",
]

MIDDLEWARE = [
    "registry_ui.metrics.requests.Measured",
    "registry_ui.request_log.RequestLog",
    "registry_ui.middleware.ResponseHeaders",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "registry_ui.middleware.ProxySignIn",
    "registry_ui.middleware.SignIn",
    "registry_ui.middleware.RoleNeeded",
    "registry_ui.middleware.FactorNeeded",
    "registry_ui.middleware.ReaderZone",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "registry_ui.urls"
WSGI_APPLICATION = "registry_ui.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["components.templatetags.addresses"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "components.context_processors.site",
                "approvals.context_processors.inbox",
            ],
        },
    }
]

# --- Database: SQLite out of the box, PostgreSQL for more than one host -----------------------------------------------

DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database("DATABASE_URL", default=f"sqlite:///{STATE_DIR / 'countersign.sqlite3'}")
}
CACHES = {
    # Rate limits need one cache that all processes share, and the pages must not depend on Redis.
    "default": {
        "BACKEND": "registry_ui.cache.LoudDatabaseCache",
        "LOCATION": "countersign_cache",
        # Beyond this many rows a part is dropped. With Django's 300, a flood of tries would wash the counts away.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# --- People and sign-in -----------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # e-mails are unique by a stricter constraint, without regard to case
    "security.W005",  # HSTS for subdomains and its preload concern other sites too:
    "security.W021",  # whoever runs them decides, with COUNTERSIGN_HSTS_SUBDOMAINS
]
AUTHENTICATION_BACKENDS = ["accounts.backends.PeopleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"

SIGNUP_OPEN = env.flag("COUNTERSIGN_SIGNUP_OPEN", default=False)
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_SIGNUP_REDIRECT_URL = "welcome"  # nobody has a role at first
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.SignupNameForm"
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if SIGNUP_OPEN else "optional"
ACCOUNT_USER_DISPLAY = "accounts.models.label_of"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody makes this site write to strangers
# One address per person, replaced only when the new one is confirmed: it stands beside their name on approvals.
ACCOUNT_CHANGE_EMAIL = True
# Whoever finds a session open must not lead the way back in, and so the proof of a signature, to themselves.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_FORMS = {
    "add_email": "accounts.addresses.NewAddressForm",
    "change_password": "accounts.passwords.OtherPasswordForm",
    "reset_password_from_key": "accounts.passwords.NewPasswordForm",
}
# Tries at passwords are counted by `accounts.attempts`. A passkey holds nothing that could be guessed.
ACCOUNT_RATE_LIMITS = {"login": None}
MFA_RATE_LIMITS = {"webauthn_login": "60/m/ip"}
CHANGES_PER_MINUTE = env.number("COUNTERSIGN_CHANGES_PER_MINUTE", default=120, minimum=10)
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("COUNTERSIGN_TRUSTED_PROXY_COUNT", default=0, minimum=0)

MFA_REQUIRED_FOR = env.some_of(
    "COUNTERSIGN_MFA_REQUIRED_FOR",
    default=(roles.ADMINISTRATOR, roles.RESPONDER),
    choices=(*roles.PERMISSIONS, "none"),
)
"""Roles of which nobody signs in with a password alone; `none` is no role."""
OIDC_MFA_TRUSTED = env.flag("COUNTERSIGN_OIDC_MFA_TRUSTED", default=True)
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_FORMS = {
    "authenticate_webauthn": "accounts.passkeys.SecondFactor",
    "login_webauthn": "accounts.passkeys.SignInByPasskey",
    "reauthenticate_webauthn": "accounts.passkeys.ProveByPasskey",
}
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not IS_HTTPS  # browsers allow it for localhost alone

SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_VERIFICATION = "mandatory"  # by the provider, or else by a mail of ours
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = sign_in.openid_connect(env)
OIDC_SIGNUP_OPEN = env.flag("COUNTERSIGN_OIDC_SIGNUP_OPEN", default=None)
"""None: only for those whose groups at the provider mean a role here."""
PROXY_AUTH = sign_in.proxy(env, count=ALLAUTH_TRUSTED_PROXY_COUNT)

# --- Sessions, headers, content security ------------------------------------------------------------------------------

SESSION_COOKIE_AGE = 3600 * env.number("COUNTERSIGN_SESSION_HOURS", default=12, minimum=1)
SESSION_IDLE_SECONDS = 60 * env.number("COUNTERSIGN_SESSION_IDLE_MINUTES", default=120, minimum=10)
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
PRUNE_SESSIONS_HOURS = env.number("COUNTERSIGN_PRUNE_SESSIONS_HOURS", default=24, minimum=0)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
# With it browsers take such a cookie from this host alone, over https, for all of its paths.
COOKIE_PREFIX = "__Host-" if IS_HTTPS else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}countersign_session"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}countersign_csrf"
CSRF_FAILURE_VIEW = "registry_ui.views.failures.csrf_failure"
SECURE_HSTS_SECONDS = env.number("COUNTERSIGN_HSTS_SECONDS", default=31_536_000 if IS_HTTPS else 0, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.flag("COUNTERSIGN_HSTS_SUBDOMAINS", default=False)
SECURE_SSL_REDIRECT = env.flag("COUNTERSIGN_SSL_REDIRECT", default=True) and IS_HTTPS
# Asked for by the host itself, and by MLflow, which may be behind the proxy; what it gets is signed.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^gate/(policy|refusals|openings)$"]
if ALLAUTH_TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF, *sign_in.origins(env, SOCIALACCOUNT_PROVIDERS)],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Static files -----------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = env.folder("COUNTERSIGN_STATIC_ROOT", default=STATE_DIR / "static")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# Pages name them by it, and to compress the others as well takes as long again.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# --- Time and language ------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- E-mail -----------------------------------------------------------------------------------------------------------

vars().update(env.email("EMAIL_URL", is_needed=not environment.is_loopback(_site.hostname)))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("COUNTERSIGN_FROM_EMAIL", default=f"countersign@{_site.hostname}")
EMAIL_SUBJECT_PREFIX = ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
EMAIL_TIMEOUT = 10

# --- Chat -------------------------------------------------------------------------------------------------------------

CHAT_URLS = env.words("COUNTERSIGN_CHAT_URLS")
CHAT_KINDS = env.some_of(
    "COUNTERSIGN_CHAT_KINDS",
    default=(
        *("waits", "escalated", "decided", "voided", "delivered", "failed", "incident"),
        *("break_glass", "rolled_back", "probation"),
    ),
    choices=(
        *("waits", "reminder", "escalated", "commented", "decided", "voided"),
        *("blocked", "delivered", "failed", "expired", "withdrawn", "incident", "finding"),
        *("break_glass", "rolled_back", "probation"),
    ),
)

# --- Webhooks ---------------------------------------------------------------------------------------------------------

WEBHOOK_PRIVATE_HOSTS = env.words("COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS")
"""Names of hosts, addresses and networks that are private and to which webhooks may go all the same."""

# --- MLflow -----------------------------------------------------------------------------------------------------------

MLFLOW_TRACKING_URI = env.url(
    "MLFLOW_TRACKING_URI",
    default="http://127.0.0.1:5000",
    schemes=("http", "https"),
    credentials="Give them to the worker as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
)
MLFLOW_UI_URL = env.url(
    "COUNTERSIGN_MLFLOW_UI_URL",
    default=MLFLOW_TRACKING_URI,
    schemes=("http", "https"),
    credentials="People sign in to MLflow themselves; the worker has MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD.",
)
MLFLOW_WORKSPACE = env.workspace("COUNTERSIGN_MLFLOW_WORKSPACE")
# Asked for anew at each call, because their files may be exchanged: `mirror.sign_in`.
MLFLOW_TRACKING_USERNAME = env.kept("MLFLOW_TRACKING_USERNAME")
MLFLOW_TRACKING_PASSWORD = env.kept("MLFLOW_TRACKING_PASSWORD")
MLFLOW_TRACKING_TOKEN = env.kept("MLFLOW_TRACKING_TOKEN")
# Of MLflow's administrator, for `manage.py mlflow_roles` alone.
MLFLOW_AUTH_ADMIN_USERNAME = env.kept("MLFLOW_AUTH_ADMIN_USERNAME")
MLFLOW_AUTH_ADMIN_PASSWORD = env.kept("MLFLOW_AUTH_ADMIN_PASSWORD")
MLFLOW_TIMEOUT_SECONDS = env.number("COUNTERSIGN_MLFLOW_TIMEOUT_SECONDS", default=15, minimum=1)

MLFLOW_WEBHOOK_SECRET = env.text("COUNTERSIGN_MLFLOW_WEBHOOK_SECRET", default="")

PULL_SECONDS = env.number("COUNTERSIGN_PULL_SECONDS", default=5, minimum=1)
PULL_SECONDS_MOST = env.number("COUNTERSIGN_PULL_SECONDS_MOST", default=300, minimum=1)
SWEEP_SECONDS = env.number("COUNTERSIGN_SWEEP_SECONDS", default=600, minimum=10)
SWEEP_SECONDS_MOST = env.number("COUNTERSIGN_SWEEP_SECONDS_MOST", default=21_600, minimum=10)
MISSING_PERCENT = env.number("COUNTERSIGN_MISSING_PERCENT", default=10, minimum=0)
STALE_AFTER_SECONDS = env.number("COUNTERSIGN_STALE_AFTER_SECONDS", default=60, minimum=5)

# --- Delivery ---------------------------------------------------------------------------------------------------------

DRAIN_SECONDS = env.number("COUNTERSIGN_DRAIN_SECONDS", default=5, minimum=1)
UNDO_SECONDS = env.number("COUNTERSIGN_UNDO_SECONDS", default=10, minimum=0)
DELIVERY_LEASE_SECONDS = env.number("COUNTERSIGN_DELIVERY_LEASE_SECONDS", default=120, minimum=5)
DELIVERY_BACKOFF_CAP_SECONDS = env.number("COUNTERSIGN_DELIVERY_BACKOFF_CAP_SECONDS", default=60, minimum=1)

# --- MLflow's own gate ------------------------------------------------------------------------------------------------

GATE_KEY = env.signing_key("COUNTERSIGN_GATE_KEY")
"""In the worker alone: the web process hands out what is signed, and can sign nothing."""
GATE_TOKEN = env.secret("COUNTERSIGN_GATE_TOKEN", min_length=16, required=False, default="")
GATE_AUDIENCE = env.text("COUNTERSIGN_GATE_AUDIENCE", default="mlflow")

# --- Monitoring -------------------------------------------------------------------------------------------------------

METRICS_TOKEN = env.secret("COUNTERSIGN_METRICS_TOKEN", min_length=32, required=False, default="")
"""What Prometheus shows to read the metrics; without one there are none."""
TRACES_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", default="", schemes=("http", "https"))
WORKER_METRICS_PORT = env.number("COUNTERSIGN_WORKER_METRICS_PORT", default=0, minimum=0)

# --- API ------------------------------------------------------------------------------------------------------------

TOKEN_ISSUERS = env.urls(
    "COUNTERSIGN_TOKEN_ISSUERS", default=("https://token.actions.githubusercontent.com", "https://gitlab.com")
)
"""Whose identity tokens may be exchanged for API tokens; the web process fetches their keys."""
API_REQUESTS_PER_MINUTE = env.number("COUNTERSIGN_API_REQUESTS_PER_MINUTE", default=600, minimum=1)
API_ANONYMOUS_PER_MINUTE = env.number("COUNTERSIGN_API_ANONYMOUS_PER_MINUTE", default=30, minimum=1)

# --- Inspection -------------------------------------------------------------------------------------------------------

CHECKING_HOURS = env.number("COUNTERSIGN_CHECKING_HOURS", default=24, minimum=1)
INSPECTION_SECONDS = env.number("COUNTERSIGN_INSPECTION_SECONDS", default=600, minimum=5)
HOLDER_FILES_SECONDS = env.number("COUNTERSIGN_HOLDER_FILES_SECONDS", default=86_400, minimum=60)
ARTIFACT_STORES = env.words("COUNTERSIGN_ARTIFACT_STORES")

# --- Ledger -----------------------------------------------------------------------------------------------------------

CHECKPOINT_KEY = env.signing_key("COUNTERSIGN_CHECKPOINT_KEY")
"""In the worker alone: who breaks into the web process can have the head signed as it is, and can sign nothing else."""
CHECKPOINT_PUBLIC_KEYS = env.public_keys("COUNTERSIGN_CHECKPOINT_PUBLIC_KEYS")
CHECKPOINT_SECONDS = env.number("COUNTERSIGN_CHECKPOINT_SECONDS", default=3600, minimum=10)
VERIFY_SECONDS = env.number("COUNTERSIGN_VERIFY_SECONDS", default=86_400, minimum=60)

# --- What is taken away after a time; the ledger keeps what happened --------------------------------------------------

KEEP_DELIVERIES_DAYS = env.number("COUNTERSIGN_KEEP_DELIVERIES_DAYS", default=90, minimum=7)
KEEP_NOTIFICATIONS_DAYS = env.number("COUNTERSIGN_KEEP_NOTIFICATIONS_DAYS", default=90, minimum=7)

# --- Celery: a hint only, the outbox table is the truth ---------------------------------------------------------------

CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", default="filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS = env.broker_options(CELERY_BROKER_URL, STATE_DIR / "broker")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_TIME_LIMIT = 3600
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = lanes.THREADS
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "registry_ui.heartbeat:Consumer"
CELERY_BEAT_SCHEDULER = "registry_ui.heartbeat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 10  # so that beat's sign of life is fresh however seldom anything is due
CELERY_TASK_DEFAULT_QUEUE = lanes.REST
CELERY_TASK_QUEUES = lanes.QUEUES  # all of them are read by a worker that is not told which
CELERY_TASK_ROUTES = lanes.ROUTES
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    # Each expires about when its successor comes, so that a worker that was away does not find a pile of them. By the
    # clock of the worker's host, which may be ahead of that of beat's: without the margin, by as little as a period.
    task: {"task": task, "schedule": seconds, "options": {"expires": seconds + MOST_SECONDS}}
    for task, seconds in {
        "mirror.pull": PULL_SECONDS,
        "mirror.sweep": min(60, SWEEP_SECONDS),  # looks whether one is due: see mirror.pace
        "mirror.follow_hints": DRAIN_SECONDS,
        "approvals.drain": DRAIN_SECONDS,
        "approvals.put_back": DRAIN_SECONDS,
        "approvals.assess_due": DRAIN_SECONDS,
        "approvals.watch": DRAIN_SECONDS,
        "approvals.watch_registry": DRAIN_SECONDS,
        "approvals.check_holder_files": 60,
        "approvals.call_checks": DRAIN_SECONDS,
        "approvals.send_notifications": DRAIN_SECONDS,
        "approvals.collect_notifications": DRAIN_SECONDS,
        "approvals.send_webhooks": DRAIN_SECONDS,
        "approvals.remind": 300,
        "approvals.expire": 60,
        "approvals.end_probations": 60,
        "approvals.call_out_overdue": 60,
        "approvals.sign_policy": DRAIN_SECONDS,
        "approvals.probe_gate": 60,
        "approvals.verify_ledger": 30,
        "approvals.checkpoint": CHECKPOINT_SECONDS,
        "approvals.sign_wanted": DRAIN_SECONDS,
        "approvals.prune": 3600,
        "accounts.prune_sessions": 3600,
    }.items()
}

LOGGING_CONFIG = None
environment.configure_logging(
    level=env.choice("COUNTERSIGN_LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    as_json=env.choice("COUNTERSIGN_LOG_FORMAT", default="text", choices=("text", "json")) == "json",
)

if WORKER_METRICS_PORT and not METRICS_TOKEN:
    env.problems.append(
        "COUNTERSIGN_WORKER_METRICS_PORT: no one may read it without COUNTERSIGN_METRICS_TOKEN. Set both."
    )

env.refuse_nonsense()
