"""Django: events that are rows of Django's own transactions, for `eventbus relay` to publish. Extra `django`.

    INSTALLED_APPS = [..., "eventbus.django"]           # then: manage.py migrate

    with transaction.atomic():
        invoice.save()
        publish_on_commit(InvoiceIssued(number=invoice.number))

Nothing here loads gevent, patches anything, or connects to a broker.
"""

from eventbus.django.outbox import Outbox, publish_on_commit

__all__ = ["Outbox", "publish_on_commit"]
