"""Two databases, of the kind and at the place that the environment says; the second one knows the outbox too."""

import os
from uuid import uuid4

import sqlalchemy as sa


def database(variable):
    url = sa.make_url(os.environ[variable])
    if url.get_backend_name() == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.database, "TEST": {"NAME": f"{url.database}.test"}}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username,
        "HOST": url.host,
        "PORT": url.port,
    }


SECRET_KEY = uuid4().hex
INSTALLED_APPS = ["shop", "eventbus.django"]
DATABASES = {"default": database("DATA"), "other": database("OTHER")}
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
