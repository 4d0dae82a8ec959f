"""Are the predictions of `tandem plan` true? `python -m loadtests.bench_plan`.

__main__.py  what can be asked for, and in which order it happens
stack.py     the gateway and the backend that are measured
backend.py   a backend that takes exactly as long as it is told
curve.py     how long do batches take, and what comes on top?
asked.py     what does one request look like?  (pure)
section.py   the manual's part, and what should be reached  (pure)
"""
