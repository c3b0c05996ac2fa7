from eventbus import Event


class InvoiceIssued(Event, topic="invoice_issued", version=1):
    number: int
