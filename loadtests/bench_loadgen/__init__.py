"""Which rate does MLPerf's own load generator call valid? `python -m loadtests.bench_loadgen`.

__main__.py   what can be asked for, and in which order it happens
stack.py      the gateway with both runtimes behind it
search.py     which rate is tried next?  (pure)
attempt.py    one run of LoadGen's Server scenario, and what it said
sender.py     sends LoadGen's queries when it says so
section.py    the manual's part
"""
