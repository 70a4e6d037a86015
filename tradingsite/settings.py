"""Settings: every one that differs between places comes from the environment, in this one file.

Without any variable the site runs embedded: SQLite, one process, broker and live events in memory. `DATABASE_URL` and
`REDIS_URL` turn the same code into the distributed shape.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from tradingsite.admin_look import UNFOLD  # noqa: F401  # read by the admin
from tradingsite.environment import DeskEnv

# Before anything imports NumPy: threads of its linear algebra wait for each other by spinning, and where both cores are
# busy a product of two vectors then takes fifty milliseconds. Several workers make better use of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

BASE_DIR = Path(__file__).resolve().parent.parent
env = DeskEnv()

DATA_DIR = env.folder("DATA_DIR", default=BASE_DIR / "var")

DEBUG = env.flag("DEBUG", default=False)
PRODUCTION = env.flag("PRODUCTION", default=False)
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")
BROKER_URL = env.str("BROKER_URL", default="") or REDIS_URL
EMBEDDED = not BROKER_URL


def _secret_key() -> str:
    """Return the key from the environment, else one made once and kept beside the data, readable by its owner alone."""
    given = env.str("SECRET_KEY", default="")
    if given:
        return given
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY must be set when PRODUCTION is on")
    kept = DATA_DIR / "secret_key"
    try:
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return kept.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR is {str(DATA_DIR)!r}, where nothing can be written ({error.strerror}). "
            "Name a folder that you may write to: DATA_DIR=/path/to/folder"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        key = secrets.token_urlsafe(50)
        file.write(key)
    return key


SECRET_KEY = _secret_key()
# Earlier keys, after a change of it: what they signed and encrypted stays readable.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# The floors, lowest first. The roof looks in these for routes, sockets and pages.
DESK_APPS = [
    "tradingsite.common",
    "market",
    "safety",
    "portfolio",
    "scheduler",
    "workflows",
    "executions",
    "agents",
    "optimize",
    *env.packages("EXTRA_APPS"),
]
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "tradingsite.admin_apps.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    "channels",
    "django_celery_beat",
    "django_celery_results",
    *DESK_APPS,
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "tradingsite.common.static_files.StaticFilesMiddleware",
    "tradingsite.common.api.middleware.RequestIdMiddleware",
    "tradingsite.common.api.body.BodyLengthMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "tradingsite.urls"
ASGI_APPLICATION = "tradingsite.asgi.application"
WSGI_APPLICATION = "tradingsite.wsgi.application"
APPEND_SLASH = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


def _database() -> dict[str, object]:
    if not DATABASE_URL:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "desk.sqlite3",
            "OPTIONS": {
                # Writers queue at BEGIN instead of failing in the middle of a transaction.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
            },
        }
    database = env.database("DATABASE_URL")
    if database["ENGINE"] == "django.db.backends.postgresql":
        database["CONN_HEALTH_CHECKS"] = True
        database["OPTIONS"] = {
            # A process that stands still inside a transaction must not keep its locks from all the others.
            "options": "-c idle_in_transaction_session_timeout=10s",
            # The writes of runs are sent apart from their values; the server plans them once per connection.
            "prepare_threshold": 2,
            **dict(database.get("OPTIONS", {})),
            "pool": {
                "min_size": 1,
                "max_size": env.whole("DATABASE_POOL_SIZE", default=20),
                "timeout": 10,
                # The pauses between its tries double; with more time it would find a database long after its return.
                "reconnect_timeout": 2,
            },
        }
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
# The zone whose midnight ends the trading day: daily counters and daily figures follow it.
DESK_TIME_ZONE = env.str("DESK_TIME_ZONE", default="America/New_York")

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "tradingsite" / "static"]
# One command must do without `collectstatic`; production collects and names files by content.
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
MEDIA_ROOT = DATA_DIR / "media"
# Of any request, most of all a file of prices.
UPLOAD_MAX_SIZE = env.whole("UPLOAD_MAX_SIZE", default=256 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "tradingsite.admin_site.RolePermissions",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=PRODUCTION)
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^health/ready$"]
SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", default=31_536_000 if PRODUCTION else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env.flag("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Hosts (`name`, `name:port`) and networks (`10.0.0.0/8`) off the public network that webhooks and agents may be at.
OUTBOUND_ALLOWED = env.list("OUTBOUND_ALLOWED", default=[])

# `NAME@host` or `NAME@host:port`: the variables that hold keys of agents, and the one host that may be told each.
AGENT_KEYS = env.list("AGENT_KEYS", default=[])
# How long what agents said is kept; 0 is for ever. What they advised and what was decided stays.
AGENT_CONVERSATIONS_DAYS = env.whole("AGENT_CONVERSATIONS_DAYS", default=365)

# What models cost: JSON, or a file of it. A model that it does not name has no known price, which is not free.
AGENT_PRICES = env.str("AGENT_PRICES", default="")

# Accounts whose broker is Alpaca. Its paper address costs nothing; the live one is https://api.alpaca.markets.
ALPACA_BASE_URL = env.str("ALPACA_BASE_URL", default="https://paper-api.alpaca.markets")
ALPACA_KEY_ID = env.str("ALPACA_KEY_ID", default="")
ALPACA_SECRET_KEY = env.str("ALPACA_SECRET_KEY", default="")
ALPACA_TIMEOUT_S = env.whole("ALPACA_TIMEOUT_S", default=10)

# ---------------------------------------------------------------------------------------------- E-mail

_mail = env.mail("EMAIL_URL")
EMAIL_ENABLED = bool(_mail)
EMAIL_BACKEND = _mail.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
if EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
    EMAIL_BACKEND = "tradingsite.common.mail.BoundedSmtp"
EMAIL_HOST, EMAIL_PORT = _mail.get("EMAIL_HOST") or "localhost", _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
# Of one wait for the server, and of all waits for one e-mail: shorter than the claim of whoever sends it.
EMAIL_TIMEOUT, EMAIL_TOGETHER_S = 10, 60
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="trading-desk@localhost")
EMAIL_MESSAGE_DOMAIN = DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
EMAIL_SUBJECT_PREFIX = "[Trading desk] "

# ---------------------------------------------------------------------------------------------- Celery

CELERY_BROKER_URL = BROKER_URL or "memory://localhost/"
# Tools for Celery find there how a run ended. Workers write no result themselves: it would cost them most of their
# throughput. The rows are written after the end, in batches.
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXPIRES = timedelta(days=7)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_QUEUES = {
    name: {"exchange": name, "routing_key": name} for name in ("control", "runs", "agents", "optimize")
}
CELERY_TASK_TRACK_STARTED = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = env.whole("WORKER_CONCURRENCY", default=4)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5.0
# How many runs the broker is given ahead of the workers; those who are busy take the next ones from the database.
RELAY_AHEAD = env.whole("RELAY_AHEAD", default=8)
# How many workers carry one optimisation at a time. In one process a core is left to whoever looks at the pages.
OPTIMIZE_HANDS = env.whole("OPTIMIZE_HANDS", default=max(1, (os.cpu_count() or 2) - 1) if EMBEDDED else 16)
# Days that the table of a search is kept after its end; then days that ended jobs and unused models are.
OPTIMIZE_TABLES_KEPT_DAYS = env.whole("OPTIMIZE_TABLES_KEPT_DAYS", default=30)
OPTIMIZE_KEPT_DAYS = env.whole("OPTIMIZE_KEPT_DAYS", default=365)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# For ever: nobody would start a worker again that gave up.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "scheduler.beat:DeskScheduler"
# A change in the database is seen at the next tick, and stopping waits for it.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE = {
    "common.prune": {"task": "common.prune", "schedule": timedelta(hours=1), "options": {"queue": "control"}},
}
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}
if urlsplit(CELERY_BROKER_URL).scheme == "memory":
    CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.05}
elif urlsplit(CELERY_BROKER_URL).scheme in ("redis", "rediss"):
    # Our leases bring work back; a redelivery by the broker is only the second net.
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 3600,
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "priority_steps": list(range(10)),
        "sep": ":",
        "queue_order_strategy": "priority",
    }

# ---------------------------------------------------------------------------------------------- Kafka

# What brings run requests to those who carry runs; every other task goes by Celery in any case.
EXECUTION_TRANSPORT = env.word("EXECUTION_TRANSPORT", ("celery", "kafka"), default="celery")
KAFKA_BOOTSTRAP_SERVERS = env.str("KAFKA_BOOTSTRAP_SERVERS", default="")
KAFKA_TOPIC_PREFIX = env.str("KAFKA_TOPIC_PREFIX", default="desk.")
# librdkafka's own settings for security and the network, such as {"security.protocol": "sasl_ssl", ...}.
KAFKA_CONFIG = env.table("KAFKA_CONFIG")
KAFKA_SASL_PASSWORD = env.str("KAFKA_SASL_PASSWORD", default="")

# ---------------------------------------------------------------------------------------------- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tradingsite.common.access.authentication.ApiKeyAuthentication",
        "tradingsite.common.access.authentication.JwtAuthentication",
        "tradingsite.common.access.authentication.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tradingsite.common.api.permissions.HasRole"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tradingsite.common.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "tradingsite.common.api.schema.DeskAutoSchema",
    "EXCEPTION_HANDLER": "tradingsite.common.api.handlers.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Trading desk",
    "DESCRIPTION": "Versioned workflows, durable runs, a gate before every order.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["tradingsite.common.api.schema.only_stable_routes"],
    # Enums stay where they are used: half of our fields are called `status` or `type`, and each has words of its own.
    "POSTPROCESSING_HOOKS": [],
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "ALGORITHM": "HS256",
    "UPDATE_LAST_LOGIN": True,
    # A changed password ends the tokens too.
    "CHECK_REVOKE_TOKEN": True,
}

# ---------------------------------------------------------------------------------------------- Browser

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"handlers": [], "propagate": True},
        # Each task is told by its run's rows; a line per message would only hide what matters.
        "celery": {"level": env.str("CELERY_LOG_LEVEL", default="WARNING")},
        "kombu": {"level": "WARNING"},
        "django_celery_beat": {"level": "WARNING"},
        # What agents say is kept with their run; the log would repeat each question with all that came before it.
        "autogen_core": {"level": "WARNING"},
        "autogen_agentchat": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
