"""Does every dialect give the right answers under load, and how long do they take? Run by Locust; see README.md.

.venv/bin/locust -f loadtests/locustfile.py --headless -u 32 -r 32 -t 20s --host http://127.0.0.1:8080
"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]  # its stubs are a package of their own
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.dialects import DIALECTS
from loadtests.samples import NoTestSet, Subject
from loadtests.traffic import Traffic
from loadtests.users import GatewayUser
from loadtests.users_grpc import OipGrpc, TfsGrpc, share_the_thread
from loadtests.users_rest import OipRest, OipRestBinary, TfsRest, TfsRestColumns

__all__ = ["OipGrpc", "OipRest", "OipRestBinary", "TfsGrpc", "TfsRest", "TfsRestColumns"]

MODELS = "iris,digits,minilm"
_STORE = Path(__file__).resolve().parent.parent / "model_store"
_GRPC_PORT = 8081
_log = logging.getLogger(__name__)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's own
def add_options(parser: ArgumentParser) -> None:
    """Tandem's own options. Their values must be plain: Locust sends them to its workers."""
    add = partial(cast("Any", parser.add_argument), include_in_web_ui=False)
    add("--models", env_var="LOCUST_MODELS", default=MODELS, type=_names, metavar="A,B",
        help=f"models to send the test sets of; default: {MODELS}")  # fmt: skip
    add("--dialects", env_var="LOCUST_DIALECTS", default=",".join(DIALECTS), type=_dialects,
        metavar="A,B", help=f"how to send them; default: {','.join(DIALECTS)}")  # fmt: skip
    add("--grpc-address", env_var="LOCUST_GRPC_ADDRESS", metavar="HOST:PORT",
        help=f"where gRPC answers; default: port {_GRPC_PORT} of --host")  # fmt: skip
    add("--request-timeout", env_var="LOCUST_REQUEST_TIMEOUT", default=30.0, type=_seconds,
        metavar="S", help="a request's deadline in seconds; default: 30")  # fmt: skip
    add("--store", env_var="LOCUST_STORE", default=str(_STORE), metavar="DIR",
        help="the model store that has the test sets; default: model_store")  # fmt: skip
    add("--seed", env_var="LOCUST_SEED", default=0, type=int, metavar="N",
        help="decides which rows are sent together, and in which order; default: 0")  # fmt: skip


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's own
def prepare(environment: Environment, **_: object) -> None:
    """Encode what will be sent, and keep the users of the dialects asked for."""
    options = environment.parsed_options
    assert options is not None, "Locust parses the command line first"
    try:
        subjects = [Subject.load(Path(options.store), model) for model in options.models]
    except NoTestSet as error:
        sys.exit(str(error))
    share_the_thread()
    kinds = [
        kind
        for kind in environment.user_classes
        if issubclass(kind, GatewayUser) and kind.dialect in options.dialects
    ]
    GatewayUser.traffic = Traffic(subjects, options.dialects, seed=options.seed)
    GatewayUser.timeout_s = options.request_timeout
    GatewayUser.grpc_address = _grpc_address(options)
    environment.user_classes = list[Any](kinds)
    if not environment.stop_timeout:
        # What was sent is waited for, so that the gateway's counts and ours can be compared.
        environment.stop_timeout = options.request_timeout
    users = options.num_users or 1
    if options.headless and users < len(kinds):
        _log.warning("too few users (%d) for %d dialects: some are not tried", users, len(kinds))
    # gevent's clock stood still while everything was imported and encoded; a run would end too early by that.
    gevent.get_hub().loop.update_now()


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust's own
def refuse_emptiness(environment: Environment, **_: object) -> None:
    """A run that sent nothing found nothing: let it fail."""
    options = environment.parsed_options
    counts_elsewhere = isinstance(environment.runner, WorkerRunner)
    if counts_elsewhere or options is None or not options.headless:
        return
    if environment.stats.total.num_requests == 0:
        _log.error("no request was answered or refused: nothing was tested")
        environment.process_exit_code = 1


def _grpc_address(options: Namespace) -> str:
    if options.grpc_address:
        return str(options.grpc_address)
    host = urlsplit(options.host or OipRest.host).hostname or "127.0.0.1"
    return f"[{host}]:{_GRPC_PORT}" if ":" in host else f"{host}:{_GRPC_PORT}"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ArgumentTypeError("got no name")
    return names


def _dialects(text: str) -> tuple[str, ...]:
    names = _names(text)
    unknown = [name for name in names if name not in DIALECTS]
    if unknown:
        raise ArgumentTypeError(f"got {', '.join(unknown)}, knows {', '.join(DIALECTS)}")
    return names


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 300:  # noqa: PLR2004 - the gateway's longest
        raise ArgumentTypeError(f"got {text}, wants more than 0, at most 300")
    return seconds
