"""`tandem demo`: from nothing to a comparison of the arms, on real input.

command      the phases, in order: environments, model store, stack, traffic, report
samples      which rows does which user send, over which protocol? (pure)
callers      a client for each dialect and protocol
traffic      sends the planned requests, notes what became of each
measure      one model, from warm-up to evidence
comparison   figures: quantiles, ratios with intervals, agreement, the split (pure)
findings     all figures of one model, and what is wrong (pure)
report       the same, in words (pure)
"""

from gateway.cli.demo.command import EXAMPLES, add_arguments, run

__all__ = ["EXAMPLES", "add_arguments", "run"]
