"""Step 3, the worker pattern: two workers on one channel take turns; each job is done once.

python examples/workers.py
"""

from collections import Counter

import gevent

from eventbus import Bus, Context, Event, Service


class EmailRequested(Event, topic="email_jobs"):
    """Somebody is to get a mail."""

    number: int


done: Counter[str] = Counter()


def send(job: EmailRequested, context: Context) -> None:
    gevent.sleep(0.001)  # the mail server takes its time
    done[context.instance] += 1


def main() -> None:
    workers = []
    for number in (1, 2):
        worker = Service("mailer", channel="default", instance=f"worker {number}", max_in_flight=10)
        worker.on(EmailRequested)(send)
        workers.append(worker)
    with Bus(source="examples") as bus:
        bus.start(*workers)
        bus.publish_all([EmailRequested(number=number) for number in range(200)])
        with gevent.Timeout(10):
            while done.total() < 200:
                gevent.sleep(0.01)
    for worker, count in sorted(done.items()):
        print(f"{worker}: {'many' if count > 20 else 'few'} jobs")
    print(f"{done.total()} jobs done")


if __name__ == "__main__":
    main()
