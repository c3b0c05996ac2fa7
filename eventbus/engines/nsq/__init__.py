"""The NSQ engine: `nsq://` and `nsq+direct://`.

engine.py     joins the parts; where to begin reading
options.py    what can be set; addresses.py reads host:port
frames.py     the protocol on the wire, without I/O; layers.py: TLS and compression, without I/O
handshake.py  from an address to an agreed connection; connection.py: one such connection, read and written by the hub
links.py      keeps a connection up
consumer.py   one subscription over many nsqd; deliveries.py: one of its connections; ready.py: RDY; quiet.py: end of a flood
producer.py   batches and answers on one connection; publisher.py: which nsqd, and failover
discovery.py  nsqlookupd; admin.py: declare, pause, count; http.py: requests with limits
"""
