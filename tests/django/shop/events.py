from eventbus import Event


class InvoiceIssued(Event, topic="invoice_issued"):
    number: int


class Noted(Event, topic="noted"):
    number: int
