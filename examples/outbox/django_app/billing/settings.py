"""The least that a project needs; the database is the one of DATABASE_URL."""

import os

import sqlalchemy as sa

url = sa.make_url(os.environ["DATABASE_URL"])
is_sqlite = url.get_backend_name() == "sqlite"

SECRET_KEY = os.environ.get("SECRET_KEY", "not for production")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["billing", "eventbus.django"]
ROOT_URLCONF = "billing.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{'sqlite3' if is_sqlite else 'postgresql'}",
        "NAME": url.database,
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.host,
        "PORT": url.port,
    }
}
