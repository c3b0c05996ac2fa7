"""The tables, and the model on one of them as it is now: which version the tables have is not Django's to decide."""

from django.db import migrations

from eventbus.django.models import OutboxEvent
from eventbus.django.tables import MakeTables


class Migration(migrations.Migration):
    """The first."""

    initial = True
    fields = [(field.name, field.clone()) for field in OutboxEvent._meta.local_fields]
    model = migrations.CreateModel("OutboxEvent", fields, options={"db_table": "eventbus_outbox"})
    operations = [MakeTables(), migrations.SeparateDatabaseAndState(state_operations=[model])]
