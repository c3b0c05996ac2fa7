"""The outbox's table as Django sees it: to look at, and for its tests to empty. Its columns are those of `sql/tables.py`."""

from django.db import models


class OutboxEvent(models.Model):
    """An event on its way out of the database. `Outbox.add` writes it, and a relay changes it."""

    event_id = models.CharField(max_length=64, unique=True)
    topic = models.CharField(max_length=64)
    type = models.CharField(max_length=1024)
    body = models.BinaryField()
    created_at = models.FloatField()
    due_at = models.FloatField()
    expires_at = models.FloatField(null=True)
    wants_receipts = models.BooleanField()
    leased_until = models.FloatField(default=0.0)
    published_at = models.FloatField(null=True)
    attempts = models.IntegerField(default=0)
    next_at = models.FloatField(null=True)
    settled_at = models.FloatField(null=True)
    error = models.TextField(null=True)
    refusals = models.IntegerField(default=0)

    class Meta:
        db_table = "eventbus_outbox"

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"
