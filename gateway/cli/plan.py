"""How much can a backend take, how long will answers take, how many replicas, and which batch limits?"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.cli.options import add_config, add_listeners, address_of
from gateway.cli.plan_numbers import (
    MAX_REPLICAS,
    milliseconds,
    percentile,
    positive,
    replicas,
    rows_mixture,
    spread_ratio,
    whole,
)
from gateway.cli.terminal import CommandError, Terminal
from gateway.config import BatchingConfig

if TYPE_CHECKING:
    from gateway.batching.limits import BatchLimits
    from gateway.cli.plan_inputs import Measured
    from gateway.cli.plan_report import Answer, Goal
    from gateway.simulation.planning import Load, Prediction, Served

EXAMPLES = """\
Examples:
  tandem plan minilm --rate 100 --slo-ms 50           from the statistics of the running gateway
  tandem plan --point 1=5.5 --point 32=21 --rate 800  from two measured batches: 1 row, 32 rows
  tandem plan --curve curve.json --rows-rate 5000     from a file, such as a saved /v2/models/M/stats
  tandem plan minilm --rate 100 --rows 1=9,8=1        of ten requests one has 8 rows, the others 1

The scheduler that serves is run in virtual time on Poisson arrivals, with batches that take as long as was
measured. Figures in brackets are the least and the most that several such runs gave.
"""

_DEFAULTS = BatchingConfig()
_WAIT_RATIO = 1.0  # the longest wait that is tried, in batches of the smallest size


class Evaluate(Protocol):
    """What is to be expected of these limits, at so many replicas."""

    def __call__(self, tried: BatchLimits, replicas: int = ...) -> Prediction: ...  # noqa: D102


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="of a running gateway")
    parser.add_argument("--version", metavar="N", help="this version of the model")
    parser.add_argument(
        "--point", action="append", metavar="ROWS=MS", help="a measured batch; again for more"
    )
    parser.add_argument("--curve", type=Path, metavar="FILE", help="measured batches, as JSON")
    _add_load(parser)
    _add_backend(parser)
    parser.add_argument(
        "--requests",
        type=whole,
        default=6000,
        metavar="N",
        help="simulated in each of five runs; more take longer and tell the tail better",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config(parser)
    add_listeners(parser, "rest", verb="answers")


def _add_load(parser: argparse.ArgumentParser) -> None:
    rate = parser.add_mutually_exclusive_group(required=True)
    rate.add_argument("--rate", type=positive, metavar="N", help="requests/s that arrive")
    rate.add_argument("--rows-rate", type=positive, metavar="N", help="rows/s that arrive")
    parser.add_argument(
        "--rows",
        type=rows_mixture,
        default={1: 1.0},
        metavar="N",
        help="rows of a request; N=WEIGHT,N=WEIGHT for a mixture; default: 1",
    )
    parser.add_argument("--slo-ms", type=positive, metavar="MS", help="latency to keep")
    parser.add_argument(
        "--percentile", type=percentile, default=99.0, metavar="P", help="which; default: 99"
    )


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replicas", type=replicas, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--max-batch-rows",
        type=whole,
        metavar="N",
        help=f"default: what the gateway has, {_DEFAULTS.max_batch_rows} without one",
    )
    parser.add_argument(
        "--max-delay-ms",
        type=milliseconds,
        metavar="MS",
        help="default: what the gateway has, 0 without one",
    )
    parser.add_argument("--max-in-flight", type=whole, metavar="N", help="default: --replicas")
    parser.add_argument(
        "--spread",
        type=spread_ratio,
        metavar="RATIO",
        help="standard deviation over mean of batches of one size; 0.1 where nothing else says it",
    )
    parser.add_argument(
        "--overhead-ms",
        type=milliseconds,
        metavar="MS",
        help="what a request takes besides waiting and its batch",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Simulate, and print."""
    from gateway.cli.plan_json import as_json  # noqa: PLC0415 - not needed for --help
    from gateway.cli.plan_report import as_text  # noqa: PLC0415

    answer = _answer(arguments, _measured(arguments), terminal)
    terminal.end_status()
    terminal.say(as_json(answer) if arguments.json else "\n".join(as_text(answer, terminal)))
    return 0


def _measured(arguments: argparse.Namespace) -> Measured:
    from gateway.cli.plan_inputs import from_file, from_gateway, from_points  # noqa: PLC0415

    given = [one for one in (arguments.model, arguments.point, arguments.curve) if one is not None]
    if len(given) != 1:
        raise CommandError("wants one of MODEL, --point ROWS=MS and --curve FILE", status=2)
    if arguments.point:
        return from_points(arguments.point)
    if arguments.curve is not None:
        return from_file(arguments.curve)
    return from_gateway(address_of(arguments, "rest"), arguments.model, arguments.version)


def _answer(arguments: argparse.Namespace, measured: Measured, terminal: Terminal) -> Answer:
    from gateway.cli.plan_inputs import ASSUMED_SPREAD_RATIO  # noqa: PLC0415
    from gateway.cli.plan_report import Answer  # noqa: PLC0415
    from gateway.simulation.planning import Effort, Served, predict  # noqa: PLC0415
    from gateway.simulation.planning_search import best_limits  # noqa: PLC0415

    spread = _first_known(arguments.spread, measured.spread_ratio, ASSUMED_SPREAD_RATIO)
    given_s = None if arguments.overhead_ms is None else arguments.overhead_ms / 1e3
    overhead_s = _first_known(given_s, measured.overhead_s, 0.0)
    served = Served(
        curve=measured.curve,
        spread_ratio=spread,
        overhead_s=overhead_s,
        replicas=arguments.replicas,
    )
    limits = _limits(arguments, measured)
    load, percent = _load(arguments), arguments.percentile
    percentiles, effort = sorted({50.0, 99.0, percent}), Effort(requests=arguments.requests)

    def evaluate(tried: BatchLimits, replicas: int = arguments.replicas) -> Prediction:
        asked = replace(served, replicas=replicas)
        _show(asked, tried, terminal)
        return predict(asked, load, tried, percentiles=percentiles, effort=effort)

    yours = evaluate(limits)
    tried = best_limits(
        limits,
        evaluate,
        max_rows=measured.curve.max_rows,
        wait_s=measured.curve.at(measured.curve.min_rows) * _WAIT_RATIO,
        percent=percent,
    )
    return Answer(
        measured=measured,
        served=served,
        is_spread_assumed=arguments.spread is None and measured.spread_ratio is None,
        is_overhead_known=given_s is not None or measured.overhead_s is not None,
        is_in_flight_known=measured.max_batch_rows is None or arguments.max_in_flight is not None,
        load=load,
        percent=percent,
        yours=yours,
        tried=tried,
        goal=_goal(arguments, tried[0], served=served, load=load, evaluate=evaluate),
    )


def _limits(arguments: argparse.Namespace, measured: Measured) -> BatchLimits:
    """Those that were given; else the running gateway's; else those of a gateway that is told nothing."""
    from gateway.batching.limits import BatchLimits  # noqa: PLC0415

    rows = arguments.max_batch_rows or measured.max_batch_rows or _DEFAULTS.max_batch_rows
    delay_s = None if arguments.max_delay_ms is None else arguments.max_delay_ms / 1e3
    queued_rows = max(_DEFAULTS.max_queued_rows, rows)
    largest = max(arguments.rows)
    if largest > queued_rows:
        raise CommandError(
            f"got --rows {largest}, wants at most {queued_rows}: a queue has room for so many rows"
            f" (batching.max_queued_rows), and would refuse every such request",
            status=2,
        )
    return BatchLimits(
        max_batch_rows=rows,
        max_delay_s=_first_known(delay_s, measured.max_delay_s, 0.0),
        max_queued_rows=queued_rows,
        max_in_flight=arguments.max_in_flight or arguments.replicas,
    )


def _show(served: Served, limits: BatchLimits, terminal: Terminal) -> None:
    terminal.status(
        f"simulating {served.replicas} × {limits.max_batch_rows} rows,"
        f" wait {limits.max_delay_s * 1e3:g} ms, {limits.max_in_flight} in flight"
    )


def _goal(
    arguments: argparse.Namespace,
    best: Prediction,
    *,
    served: Served,
    load: Load,
    evaluate: Evaluate,
) -> Goal | None:
    """The fewest replicas that keep the SLO with the best limits, if one was asked for."""
    from gateway.cli.plan_report import Goal  # noqa: PLC0415
    from gateway.simulation.planning_search import replicas_for  # noqa: PLC0415

    if arguments.slo_ms is None:
        return None
    slo_s = arguments.slo_ms / 1e3
    if served.curve.at(min(arguments.rows)) + served.overhead_s > slo_s:
        return Goal(slo_s=slo_s)  # not even a request that waits for nobody
    slots = max(1, best.limits.max_in_flight // arguments.replicas)

    def with_replicas(count: int) -> Prediction:
        return evaluate(replace(best.limits, max_in_flight=slots * count), count)

    least = math.ceil(load.rows_per_s / with_replicas(1).capacity_rows_per_s)
    if least > MAX_REPLICAS:
        return Goal(slo_s=slo_s, least=least)
    found = replicas_for(slo_s, arguments.percentile, with_replicas, (least, MAX_REPLICAS))
    return Goal(slo_s=slo_s, found=found, least=least)


def _load(arguments: argparse.Namespace) -> Load:
    from gateway.simulation.arrivals import Mix  # noqa: PLC0415
    from gateway.simulation.planning import Load  # noqa: PLC0415

    mix = Mix(rows=arguments.rows)
    return Load(requests_per_s=arguments.rate or arguments.rows_rate / mix.mean_rows, mix=mix)


def _first_known(*values: float | None) -> float:
    return next(value for value in values if value is not None)
