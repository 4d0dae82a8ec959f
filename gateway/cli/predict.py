"""What does a running gateway answer to one predict call, in the dialect and over the protocol of choice?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.cli.calls import Reply, ask
from gateway.cli.options import add_config, add_listeners, address_of
from gateway.cli.terminal import CommandError, Terminal
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.messages import InferRequest

EXAMPLES = """\
Examples:
  tandem predict iris '[[5.1, 3.5, 1.4, 0.2]]'                       rows; TF Serving's dialect, REST
  tandem predict iris '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'        the same, as the dialect has it
  tandem predict iris '[[5.1, 3.5, 1.4, 0.2]]' --dialect oip --grpc  the same rows in another dialect
  tandem predict iris @rows.json --arm torch --explain               from a file; insist on an arm
  echo '[[5.1, 3.5, 1.4, 0.2]]' | tandem predict iris -              from standard input

Give the rows alone, or a whole body of the dialect. --explain adds which arm answered, in which batch, and
how long each stage took. Exit status: 0 answered, 1 the gateway answered with an error or not at all.
"""

_FACTS = "x-tandem-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("input", metavar="JSON", help="JSON, @FILE, or - for standard input")
    parser.add_argument("--dialect", choices=("tfs", "oip"), default="tfs", help="default: tfs")
    parser.add_argument(
        "--grpc", dest="over_grpc", action="store_true", help="over gRPC instead of REST"
    )
    parser.add_argument("--version", metavar="N", help="this version of the model")
    parser.add_argument("--arm", help="this arm, whatever the split says")
    parser.add_argument("--unit", help="sent as x-tandem-unit: the same unit, the same arm")
    parser.add_argument("--explain", action="store_true", help="also say how it was answered")
    add_config(parser)
    add_listeners(parser, "rest", verb="answers")
    parser.add_argument(
        "--grpc-address",
        dest="grpc",
        metavar="HOST:PORT",
        help="where gRPC answers; wins over the file",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Call, and print the answer."""
    document = _read(arguments.input)
    headers = _headers(arguments)
    if arguments.over_grpc:
        answer, facts = _over_grpc(arguments, document, headers)
    else:
        answer, facts = _over_rest(arguments, document, headers)
    terminal.say(answer)
    if arguments.explain:
        for name, value in sorted(facts.items()):
            if name.startswith(_FACTS):
                terminal.say(terminal.dim(f"{name.removeprefix(_FACTS):<16} {value}"))
    return 0


def _read(given: str) -> Any:
    try:
        if given == "-":
            return json.load(sys.stdin)
        if given.startswith("@"):
            return _file(given[1:])
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        hint = "" if given[:1] in ("@", "-") else "; a file is @FILE, standard input is -"
        raise CommandError(f"the input is not JSON: {error}{hint}", status=2) from error


def _file(name: str) -> Any:
    if not name:
        raise CommandError("got @ alone, wants @FILE", status=2)
    try:
        return json.loads(Path(name).read_bytes())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}", status=2) from error


def _headers(arguments: argparse.Namespace) -> dict[str, str]:
    given = {
        "x-tandem-arm": arguments.arm,
        "x-tandem-unit": arguments.unit,
        "x-tandem-explain": "1" if arguments.explain else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _over_rest(
    arguments: argparse.Namespace, document: Any, headers: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    version = "" if arguments.version is None else f"/versions/{quote(arguments.version, safe='')}"
    model = quote(arguments.model, safe="")
    if arguments.dialect == "tfs":
        path = f"/v1/models/{model}{version}:predict"
        body = document if isinstance(document, dict) else {"instances": document}
    else:
        path = f"/v2/models/{model}{version}/infer"
        body = document if is_oip(document) else _as_oip(arguments, document)
    text = json.dumps(body).encode()
    reply = ask(address_of(arguments, "rest"), path, body=text, headers=headers)
    _require_ok(reply)
    return reply.body.decode(), reply.headers


def _as_oip(arguments: argparse.Namespace, document: Any) -> Any:
    from gateway.codecs import oip_json  # noqa: PLC0415 - numpy; not for --help

    request = _request(arguments, document)
    return json.loads(oip_json.encode_request(request, binary=False)[0])


def _over_grpc(
    arguments: argparse.Namespace, document: Any, headers: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    from gateway.cli.grpc_call import call  # noqa: PLC0415 - gRPC; not for --help

    request = _request(arguments, document)
    return call(address_of(arguments, "grpc"), arguments.dialect, request, headers)


def _request(arguments: argparse.Namespace, document: Any) -> InferRequest:
    """The input as tensors; rows become tensors by the signature that the gateway tells over REST."""
    from gateway.cli.grpc_call import request_of  # noqa: PLC0415 - numpy; not for --help

    path = f"/v2/models/{quote(arguments.model, safe='')}"
    reply = ask(address_of(arguments, "rest"), path)
    _require_ok(reply)
    try:
        return request_of(arguments.model, arguments.version, document, metadata=reply.body)
    except GatewayError as error:
        raise CommandError(str(error)) from error


def is_oip(document: Any) -> bool:
    """Whether this is a body of the Open Inference Protocol: tensors with names and datatypes."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    return isinstance(inputs, list) and all(isinstance(i, dict) and "datatype" in i for i in inputs)


def _require_ok(reply: Reply) -> None:
    if reply.status != HTTPStatus.OK:
        text = reply.body.decode(errors="replace")
        raise CommandError(f"the gateway answered {reply.status}: {text}")
