from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.urls import path

from billing.events import InvoiceIssued
from billing.models import Invoice
from eventbus.django import publish_on_commit


def issue(request, number):
    try:
        with transaction.atomic():
            Invoice.objects.create(number=number)
            publish_on_commit(InvoiceIssued(number=number))
    except IntegrityError:
        return HttpResponse(status=200)  # it was issued before
    return HttpResponse(status=201)


urlpatterns = [path("invoices/<int:number>", issue)]
