"""What would the batcher do? Its own plan, driven in virtual time.

    requests.py  what does a caller send, and how did it end?
    arrivals.py  when do requests come, and what is in them?
    curve.py     how long does a backend take for so many rows?
    backend.py   when is a batch answered?
    driver.py    what happens, in which order?
    faults.py    what if callers leave, batches fail, the backend stalls, or the arm is closed?
    policies.py  how do other servers decide when a batch leaves?
    summary.py   what do many ended requests say together?
    planning.py  rows/s, latencies, replicas and limits: `tandem plan`

Pure: no clock, no tasks, no I/O, and no randomness but that of the generators passed in. A second of
traffic takes milliseconds, and the same seed gives the same history. `batching` knows nothing of it.
"""
