"""When does a request leave for its backend, with whom, and in how many rows?

    key.py      which requests may share a batch?
    limits.py   how large, how late, how many at once?
    plan.py     which requests leave now, and which have waited too long?  (pure: no clock, no tasks)
    lines.py    who is queued, in which order?  (pure)
    rotation.py which priority goes first this time?  (pure)
    admission.py can a request still be answered in time?  (pure)
    latency.py  how long does a batch of so many rows take?  (pure)
    in_flight.py how many batches should be at the backend?  (pure)
    trial.py    are more rows answered a second with another number of them?  (pure)
    patience.py is it worth waiting for more rows?  (pure)
    pressure.py is the gateway itself what everything waits for?  (pure)
    lull.py     has the gateway anything else to do before a batch is bound?  (pure)
    retries.py  may a batch that was refused be sent again in halves?  (pure)
    entry.py    what is known of one request, line and batch?
    heap.py     which is smallest, when most leave before they reach the top?  (pure)
    collate.py  requests -> one batch, and the answer back into requests  (pure)
    padding.py  requests of different lengths -> one batch, and back  (pure)
    record.py   what is told of a batch that has ended, and of a queue as it stands?
    flight.py   what happens to a batch between the queue and its callers?
    endings.py  how are callers told that there is no answer, and why?
    dispatch.py when do batches run, and who tells their callers?  (asyncio)
    queue.py    how does a caller wait for its share of a batch?  (asyncio)

Every arm has one `BatchQueue`. Its promises:

- A batch is chosen at the moment a backend slot is free for it, not earlier, and waits for company then
  only where that pays, at most `max_delay_s`. Where the gateway is short of time, it first reads what has come.
- The higher priority goes first, then the sooner deadline; what cannot make its deadline is refused at once.
- Rows are counted, not requests, and requests of different keys never share a batch.
- A caller that leaves never affects its batch-mates; a batch that nobody waits for is not sent, and
  is cancelled if it was.
- A batch that fails, or is answered with the wrong rows, fails nobody outside it. One that the backend
  refuses is tried again in halves, so that one bad request fails alone.
- What is queued is bounded by `max_queued_rows`; a request beyond that is refused at once.
"""

from gateway.batching.flight import RunBatch
from gateway.batching.key import BatchKey
from gateway.batching.limits import BatchLimits
from gateway.batching.queue import BatchQueue
from gateway.batching.record import BatchObserver, BatchRecord, QueueStatistics

__all__ = [
    "BatchKey",
    "BatchLimits",
    "BatchObserver",
    "BatchQueue",
    "BatchRecord",
    "QueueStatistics",
    "RunBatch",
]
