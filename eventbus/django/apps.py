"""The app, as INSTALLED_APPS names it."""

from django.apps import AppConfig


class EventbusConfig(AppConfig):
    """The tables of the outbox, their migration and `manage.py eventbus_relay`."""

    name = "eventbus.django"
    label = "eventbus"
    default_auto_field = "django.db.models.BigAutoField"
