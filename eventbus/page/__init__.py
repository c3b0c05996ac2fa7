"""The page: what flows through a bus, one event's journey, dead letters by cause, contracts and health, in a browser.

It asks what every engine tells anybody, so it runs beside the services and none of them knows of it: a page that ends, or
hangs, has no effect on any. `eventbus page` is the command; `server.PageServer` is for programs that have a bus already.
The parts without Flask, as `rates`, serve `eventbus top` too.
"""
