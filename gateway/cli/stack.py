"""How does the whole stack come up, in which order, and when is it ready? Backends first, then the gateway.

A backend that ends by itself is started again while the rest stays up; the gateway's end is the stack's.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

from gateway.cli import launch
from gateway.cli.calls import Unreachable, ask
from gateway.cli.keeper import Keeper, NotReady
from gateway.cli.launch import Tools
from gateway.cli.ports import require_free
from gateway.cli.processes import Fleet, Launch, fleet
from gateway.cli.terminal import CommandError, Terminal, seconds
from gateway.config import BackendConfig, Config
from gateway.errors import GatewayError
from gateway.restarts import Patience

__all__ = ["running_stack"]

_READY_TIMEOUT_S = (
    180.0  # an import of TensorFlow from a cold disk, and a package loaded and warmed
)
_LOOK_EVERY_S = 0.05
_PROBE_TIMEOUT_S = 5.0

# Asked again and again: what is still missing, "" when nothing is.
_Missing: TypeAlias = Callable[[], Awaitable[str]]


@asynccontextmanager
async def running_stack(
    path: Path, config: Config, tools: Tools, terminal: Terminal, *, workers: int = 1
) -> AsyncIterator[Fleet]:
    """Start everything that the configuration needs on this machine, and stop it when the block ends.

    The block starts when every arm with traffic can answer. It is cancelled when the gateway dies, and
    when a backend has died too often in a row to be started again.

    Args:
        path: The configuration file, for the gateway to read.
        config: What it says, with the flags for listeners applied.
        tools: What there is to start things with.
        terminal: For progress.
        workers: Gateway processes that serve as one.

    Raises:
        CommandError: a port is taken, an environment or a built model is missing, or something did not
            become ready in time.
        ChildDied: the gateway ended by itself (`status` is its own), or a backend for the last time.
    """
    ours = {name: found for name, found in config.backends.items() if launch.is_ours(found)}
    require_free(launch.listeners(config, ours))
    _require_models(config, ours, tools)
    async with fleet(tools.logs) as children:
        start = _Start(config, tools, terminal, children)
        await start.backends(ours)
        await start.gateway(path, workers)
        yield children


class _Start:
    """One start of a stack. `waiting` holds what was started and is not ready yet."""

    def __init__(self, config: Config, tools: Tools, terminal: Terminal, children: Fleet) -> None:
        self.config = config
        self.tools = tools
        self.terminal = terminal
        self.children = children
        self.waiting: set[str] = set()
        self._label = "backends"  # of the next line, "" once it was told

    async def backends(self, ours: Mapping[str, BackendConfig]) -> None:
        """Start those that are ours, all at the same time, and wait for every one."""
        models = _models_of(self.config, [n for n, b in ours.items() if b.kind == "tfserving"])
        if models:
            await asyncio.to_thread(_write_model_config, models, self.tools)
        async with asyncio.TaskGroup() as group:
            for name, backend in self.config.backends.items():
                if name in ours:
                    started = launch.backend_launch(name, backend, self.tools)
                    group.create_task(self._await_ours(self._keeper(started)))
                else:
                    group.create_task(self._await_theirs(name))

    def _keeper(self, started: Launch) -> Keeper:
        return Keeper(
            started,
            self.children,
            until_ready=lambda: self._until_described(started.name),
            terminal=self.terminal,
            patience=Patience(),
        )

    async def _await_ours(self, keeper: Keeper) -> None:
        self.children.keep(keeper.keep())
        await keeper.ready.wait()
        what = launch.describe_backend(self.config.backends[keeper.name], self.tools)
        self._tell(keeper.name, what, keeper.took_s)

    async def _await_theirs(self, name: str) -> None:
        try:
            took_s = await self._until_described(name)
        except NotReady as error:
            raise CommandError(f"{name} {error}") from error
        self._tell(name, f"running at {self.config.backends[name].address}", took_s)

    def _tell(self, name: str, what: str, took_s: float) -> None:
        self.terminal.field(self._label, f"{name:<8} {what}   ready {seconds(took_s)}")
        self._label = ""

    async def _until_described(self, name: str) -> float:
        """Wait until a backend describes every model that our arms ask it for."""
        from gateway.app import make_backend  # noqa: PLC0415 - gRPC and all: not for --help

        asked = launch.asked_of(self.config, name)
        adapter = make_backend(name, self.config.backends[name])

        async def missing() -> str:
            try:
                for model, version in asked:
                    await adapter.describe(model, version)
            except GatewayError as error:
                return str(error)
            return ""

        try:
            return await self._until_ready(name, missing)
        finally:
            await adapter.aclose()

    async def gateway(self, path: Path, workers: int) -> None:
        """Start the gateway and wait until every arm with traffic can answer."""
        listen = self.config.listen
        launched = launch.gateway_launch(path, self.config, self.tools, workers=workers)
        child = await self.children.start(launched)

        async def missing() -> str:
            # Not just some model: an arm that comes late would leave its users to the other.
            path = "/readyz?complete=true"
            try:
                reply = await asyncio.to_thread(ask, listen.admin, path, timeout_s=_PROBE_TIMEOUT_S)
            except Unreachable as error:
                return str(error)
            return "" if reply.status == HTTPStatus.OK else f"{path} answers {reply.status}"

        try:
            took_s = await self._until_ready("gateway", missing)
        except NotReady as error:
            raise CommandError(f"gateway {error}; {child.last_words()}") from error
        self.terminal.field(
            "gateway",
            f"REST http://{listen.rest}   gRPC {listen.grpc}   admin http://{listen.admin}"
            f"   ready {seconds(took_s)}",
        )

    async def _until_ready(self, name: str, missing: _Missing) -> float:
        """Ask until nothing is missing; the seconds that took. Raises NotReady when that is too long."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        self.waiting.add(name)
        text = "it was never asked"
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                while text := await missing():
                    names = ", ".join(sorted(self.waiting))
                    self.terminal.status(f"waiting for {names}  {clock() - begun:.0f} s")
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as exc:
            raise NotReady(f"was not ready after {_READY_TIMEOUT_S:.0f} s: {text}") from exc
        finally:
            self.waiting.discard(name)
        return clock() - begun


def _models_of(config: Config, backends: Iterable[str]) -> list[str]:
    return sorted({model for name in backends for model, _ in launch.asked_of(config, name)})


def _require_models(config: Config, ours: Iterable[str], tools: Tools) -> None:
    missing = [model for model in _models_of(config, ours) if not _is_built(tools.store / model)]
    if missing:
        raise CommandError(
            f"not built in {tools.store}: {', '.join(missing)}; run `make store`, or `tandem demo`"
        )


def _is_built(folder: Path) -> bool:
    return any((version / "manifest.json").is_file() for version in folder.glob("[0-9]*"))


def _write_model_config(models: list[str], tools: Tools) -> None:
    argv = launch.model_config_argv(models, tools)
    made = subprocess.run(argv, cwd=tools.root, capture_output=True, check=False, timeout=60)
    if made.returncode != 0:
        raise CommandError(f"{' '.join(argv)} failed:\n{made.stderr.decode(errors='replace')}")
    tools.state.mkdir(parents=True, exist_ok=True)
    tools.model_config.write_bytes(made.stdout)
