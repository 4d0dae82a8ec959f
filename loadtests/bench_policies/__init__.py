"""Which policy of batching answers soonest, on a real backend? `python -m loadtests.bench_policies`.

__main__.py   what can be asked for, and in which order it happens
policies.py   ours, and those that other servers have: the classes of the simulation
drive.py      one policy in real time, before any backend
model.py      the backend: a torch server, asked in batches
section.py    the manual's part
"""
