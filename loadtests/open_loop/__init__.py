"""What do callers see who do not wait for each other? An open loop: requests leave when they are due.

    arrivals = poisson(rate_per_s=2000, seconds=5, seed=1)
    offered = offer("127.0.0.1:8080", [post(path, body), …], arrivals)
    summary = offered.summary(warm_s=0.5)     # percentiles from the intended send time, lateness, validity
    offered.answers[7]                        # status and body of the arrival that sent requests[7 % len(requests)]

Rules:
- Latency counts from when a request was due, so a generator that is late makes the server look worse, never
  better. How late it was is told, and a run in which it was too late is invalid.
- An answer that has not come when the grace is over has no latency, and counts as slower than all others.
- Answers are kept and read after the run: checking them costs the server under load no processor time.
"""

from loadtests.open_loop.arrivals import poisson
from loadtests.open_loop.generator import offer, post
from loadtests.open_loop.offered import Answer, Offered, Summary

__all__ = ["Answer", "Offered", "Summary", "offer", "poisson", "post"]
