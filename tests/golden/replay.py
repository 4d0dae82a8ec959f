"""Does a gateway answer as the real TensorFlow Serving did, for every recorded call?

    .venv/bin/python -m tests.golden.replay 127.0.0.1:8500 .tandem/golden_models   # a stand-in, and its models

Prints how many answers of each kind agree, and every one that does not.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway._stubs import tfs_wire_pb2 as wire
from serving.tf_serving.config import ModelConfig
from tests.fronts import Front
from tests.golden.compare import (
    conversation_disagreement,
    grpc_disagreement,
    rest_disagreement,
)
from tests.golden.exchanges import (
    GrpcExchange,
    RestExchange,
    conversations,
    differences,
    grpc_exchanges,
    rest_exchanges,
)
from tests.golden.raw_http import converse, send
from tests.golden.reloads import RELOAD, patience_s, reload_to, request_of
from tests.golden.stack import gateway_before, served_models

TIMEOUT_S = 60
COUNTED = frozenset(
    (
        *("predict", "classify", "regress", "status", "metadata"),
        *(
            "Predict",
            "Classify",
            "Regress",
            "MultiInference",
            "PredictStreamed",
            "GetModelMetadata",
        ),
        *("GetModelStatus", "HandleReloadConfigRequest"),
    )
)
"""The kinds of calls whose agreement is measured: all about models. The others are about HTTP and gRPC themselves."""
BATCHED_ROWS: Mapping[str, int] = {"batching": 4, "b_split": 8}
"""The largest batch of the recorded servers that batched, by their flags."""

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_RESET_COUNTER = wire.PredictRequest(
    model_spec=wire.ModelSpec(name="counter", signature_name="reset_counter")
).SerializeToString()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one call. `disagreement` is "" where the answer is the recorded one."""

    protocol: str
    id: int
    group: str
    kind: str
    disagreement: str

    @property
    def agrees(self) -> bool:
        """Whether the answer is the recorded one."""
        return not self.disagreement


async def replay(
    addresses: Mapping[str, str],
    config: Path,
    made: Path,
    *others: ModelConfig,
    front: Front = "own",
) -> list[Verdict]:
    """Ask a gateway in front of a stand-in everything that was recorded, in order.

    Args:
        addresses: Where the stand-in listens, as "", and where those that batch do, by their flags.
        config: Where the gateway's configuration is written.
        made: The directory that `make_models` wrote, which the stand-in serves.
        others: What else it serves, and shall still serve in the end.
        front: What listens.
    """
    verdicts: list[Verdict] = []
    for flags in ("", "cors", *BATCHED_ROWS):
        address = addresses.get(flags, addresses[""])
        async with gateway_before(address, config, cors=flags == "cors", front=front) as gateway:
            if flags not in BATCHED_ROWS:  # which refuse a call without inputs
                await _reset_counter(gateway["grpc"])
            verdicts += await replay_rest(gateway["rest"], _recorded_with(flags))
            if not flags:
                verdicts += await _replay_conversations(gateway["rest"])
                await _reset_counter(gateway["grpc"])
                at_first = reload_to([*served_models(made), *others])
                verdicts += await _replay_grpc(gateway["grpc"], made, at_first)
    return verdicts


def _recorded_with(flags: str) -> list[RestExchange]:
    """What servers of such flags were asked; with "", of all that change nothing in a gateway before them."""
    apart = {"cors", *BATCHED_ROWS}
    return [
        exchange
        for exchange in rest_exchanges()
        if exchange.flags == flags or (not flags and exchange.flags not in apart)
    ]


async def _reset_counter(address: str) -> None:
    """Begin where the recorded servers began: just started."""
    async with grpc.aio.insecure_channel(address) as channel:
        predict: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_PREDICT)
        await predict(_RESET_COUNTER, timeout=TIMEOUT_S)


async def replay_rest(address: str, exchanges: Iterable[RestExchange]) -> list[Verdict]:
    """What came of these calls to a gateway's REST port."""
    verdicts = []
    for exchange in exchanges:
        try:
            found = rest_disagreement(exchange, await send(address, exchange))
        except (OSError, EOFError, TimeoutError) as error:
            found = f"no answer: {error!r}"
        verdicts.append(Verdict("rest", exchange.id, exchange.group, exchange.kind, found))
    return verdicts


async def _replay_conversations(address: str) -> list[Verdict]:
    verdicts = []
    for conversation in conversations():
        answers = await converse(address, conversation.sent)
        found = conversation_disagreement(conversation, answers)
        verdicts.append(Verdict("rest", conversation.id, conversation.group, "http", found))
    return verdicts


async def _replay_grpc(address: str, made: Path, at_first: bytes) -> list[Verdict]:
    verdicts = []
    async with grpc.aio.insecure_channel(address) as channel:
        begin_anew: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(RELOAD)
        for exchange in grpc_exchanges():
            if exchange.method == RELOAD:
                await _reload(begin_anew, at_first)
            found = await _ask(channel, exchange, made)
            verdicts.append(Verdict("grpc", exchange.id, exchange.group, exchange.kind, found))
        await _reload(begin_anew, at_first)
    return verdicts


async def _reload(call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], models: bytes) -> None:
    """Have these models served, once the reload before has ended, whose client may just have left."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                await call(models, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.01)
            else:
                return


async def _ask(channel: grpc.aio.Channel, exchange: GrpcExchange, made: Path) -> str:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(exchange.method)
    timeout_s = patience_s(exchange, TIMEOUT_S)
    try:
        response = await call(request_of(exchange, made), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        return grpc_disagreement(exchange, error.code().name, error.details() or "", None)
    return grpc_disagreement(exchange, "OK", "", response)


def agreement(verdicts: Sequence[Verdict]) -> float:
    """Which part of the answers about models agree."""
    counted = [verdict.agrees for verdict in verdicts if verdict.kind in COUNTED]
    return sum(counted) / len(counted)


def summary(verdicts: Sequence[Verdict], explained: frozenset[tuple[str, int]]) -> str:
    """How many agree of each kind, and every disagreement; `explained` are those with a reason."""
    total, agreed, on_purpose = Counter[str](), Counter[str](), Counter[str]()
    lines = []
    for verdict in verdicts:
        kind = f"{verdict.protocol} {verdict.kind}"
        total[kind] += 1
        agreed[kind] += verdict.agrees
        known = (verdict.protocol, verdict.id) in explained
        on_purpose[kind] += known and not verdict.agrees
        if not verdict.agrees:
            mark = "on purpose" if known else "DISAGREES"
            lines.append(f"{mark} {kind} {verdict.id} {verdict.group}: {verdict.disagreement}")
    table = [
        f"{kind:24} {agreed[kind]:5} of {total[kind]:5} agree, {on_purpose[kind]:4} differ on purpose"
        for kind in sorted(total)
    ]
    counted = sum(verdict.kind in COUNTED for verdict in verdicts)
    whole = f"{'all':24} {agreed.total():5} of {total.total():5} agree;"
    whole += f" of the {counted} about models {agreement(verdicts):.2%}"
    return "\n".join([*table, whole, "", *lines, ""])


def explained() -> frozenset[tuple[str, int]]:
    """The calls that the table of differences names, by protocol and id."""
    found: set[tuple[str, int]] = set()
    for difference in differences():
        found |= {("rest", number) for number in difference.rest}
        found |= {("grpc", number) for number in difference.grpc}
    return frozenset(found)


def main() -> None:
    """Replay the record through a gateway in front of the stand-in that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.replay")
    parser.add_argument("address", help="a TensorFlow Serving, or the stand-in, with the models")
    parser.add_argument(
        "models", type=Path, help="the directory that make_models wrote, as served there"
    )
    parser.add_argument("--front", choices=["own", "envoy"], default="own")
    for flags, rows in BATCHED_ROWS.items():
        parser.add_argument(f"--{flags}", help=f"one that batches up to {rows} rows")
    given = parser.parse_args()
    addresses = {flags: getattr(given, flags) or given.address for flags in BATCHED_ROWS}
    addresses[""] = given.address
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "tandem.toml"
        verdicts = asyncio.run(replay(addresses, config, given.models, front=given.front))
    print(summary(verdicts, explained()))  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
