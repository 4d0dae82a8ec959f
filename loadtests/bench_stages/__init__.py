"""Where does the gateway's CPU go, stage by stage, at saturation? `python -m loadtests.bench_stages`.

__main__.py   what can be asked for, and in which order it happens
stages.py     the stages, and which of them a stack belongs to (pure)
stacks.py     what the profiler wrote, and how a request's CPU is shared out by it (pure)
profiler.py   py-spy, beside the gateway while it is loaded
load.py       what is asked, and how fast
rounds.py     measurements without the profiler and with it, in turn
section.py    the manual's part, with the run before this one beside it
"""
