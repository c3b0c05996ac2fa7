"""`migrate` makes the tables, `gunicorn billing.wsgi` serves, and `python manage.py eventbus_relay` publishes."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.settings")
    execute_from_command_line(sys.argv)
