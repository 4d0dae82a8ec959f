"""What becomes of answers in time when more is asked than a server can do? `python -m loadtests.bench_overload`.

__main__.py   what can be asked for, and in which order it happens
arms.py       who is measured, and how each is asked
measure.py    one server: its capacity, each load, and a surge
load.py       when are requests due?  (pure)
figures.py    what came of them?  (pure)
targets.py    what should have come of them?  (pure)
section.py    the manual's part
"""
