"""HandleReloadConfigRequest: who is told, what is answered, and that what then holds shows at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.servers.reloading import (
    METADATA,
    PREDICT,
    REFUSED,
    RELOAD,
    TAKEN,
    Caller,
    Server,
    against,
    describing,
    predicting,
)


@pytest.mark.parametrize("setting", ["", "forwards_reload = false"])
def test_without_the_setting_nothing_is_forwarded(tmp_path: Path, setting: str) -> None:
    server = Server()

    async def scenario(caller: Caller) -> None:
        for data in (b"", b"a", b"X", b"a" * 100_000):
            code, text = await caller.error(RELOAD, data)
            assert code == "UNIMPLEMENTED"
            assert "forwards_reload = true" in text
        assert server.reloads == []
        assert await caller.state("b") == "AVAILABLE"
        assert caller.count("unsupported") == 4

    against(tmp_path, [server], scenario, setting)


def test_what_a_reload_changes_holds_when_it_is_answered(tmp_path: Path) -> None:
    server = Server()

    async def scenario(caller: Caller) -> None:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        assert await caller.ask(RELOAD, b"ac", ("traceparent", trace)) == TAKEN
        assert await caller.state("b") == "END"
        assert await caller.state("c") == "AVAILABLE"
        gone = ("NOT_FOUND", "Servable not found for request: Latest(b)")
        assert await caller.error(PREDICT, predicting("b")) == gone
        assert await caller.error(METADATA, describing("b")) == gone
        assert await caller.ask(PREDICT, predicting("c"))
        assert await caller.ask(METADATA, describing("c"))
        assert await caller.ask(RELOAD, b"ab") == TAKEN
        assert await caller.ask(PREDICT, predicting("b"))
        assert await caller.state("c") == "END"
        assert server.reloads == [b"ac", b"ab"]
        assert [told[:35] for told in server.traces] == [trace[:35], ""]

    against(tmp_path, [server], scenario)
    assert server.models == {"a", "b"}


def test_a_reload_is_counted_as_other_calls_are(tmp_path: Path) -> None:
    async def scenario(caller: Caller) -> None:
        await caller.ask(RELOAD, b"a")
        assert caller.count("ok") == 1
        await caller.error(RELOAD, b"X")
        assert caller.count("input_refused") == 1

    against(tmp_path, [Server()], scenario)


def test_a_refused_reload_changes_nothing_and_is_told_in_the_servers_words(tmp_path: Path) -> None:
    server = Server()

    async def scenario(caller: Caller) -> None:
        assert await caller.error(RELOAD, b"XX") == ("INVALID_ARGUMENT", REFUSED)
        assert [await caller.state(model) for model in "ab"] == ["AVAILABLE", "AVAILABLE"]
        assert await caller.ask(PREDICT, predicting("b"))
        assert server.models == {"a", "b"}

    against(tmp_path, [server], scenario)


def test_a_server_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    async def scenario(caller: Caller) -> None:
        code, text = await caller.error(RELOAD, b"a")
        assert code == "UNAVAILABLE"
        assert "backend tf cannot be reached" in text
        assert caller.count("backend_unavailable") == 1

    against(tmp_path, [], scenario)


def test_a_reload_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    async def scenario(caller: Caller) -> None:
        server.reload_waits = asyncio.Event()
        code, _ = await caller.error(RELOAD, b"a", ("x-tandem-timeout-ms", "50"))
        assert code == "DEADLINE_EXCEEDED"
        async with asyncio.timeout(20):
            await server.left.wait()
        server.reload_waits = None
        assert await caller.ask(RELOAD, b"a") == TAKEN

    server = Server()
    against(tmp_path, [server], scenario)


def test_one_reload_is_taken_at_a_time(tmp_path: Path) -> None:
    server = Server()

    async def scenario(caller: Caller) -> None:
        server.reload_waits = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(caller.ask(RELOAD, b"a"))
            await server.held.wait()
            code, text = await caller.error(RELOAD, b"b")
            assert (code, "one at a time" in text) == ("RESOURCE_EXHAUSTED", True)
            server.reload_waits.set()
        assert first.result() == TAKEN
        assert await caller.ask(RELOAD, b"b") == TAKEN
        assert server.reloads == [b"a", b"b"]

    against(tmp_path, [server], scenario)


def test_a_caller_that_leaves_makes_room_for_the_next(tmp_path: Path) -> None:
    server = Server()

    async def scenario(caller: Caller) -> None:
        server.reload_waits = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(caller.ask(RELOAD, b"a"))
            await server.held.wait()
            first.cancel()
        async with asyncio.timeout(20):
            await server.left.wait()
        server.reload_waits = None
        assert await caller.ask(RELOAD, b"b") == TAKEN
        assert caller.count("caller_left") == 1

    against(tmp_path, [server], scenario)


def test_every_replica_is_told(tmp_path: Path) -> None:
    servers = [Server(), Server(), Server()]

    async def scenario(caller: Caller) -> None:
        assert await caller.ask(RELOAD, b"a") == TAKEN
        assert [server.reloads for server in servers] == [[b"a"]] * 3
        assert await caller.state("b") == "END"

    against(tmp_path, servers, scenario)


def test_a_replica_that_takes_it_not_is_named_and_the_others_keep_it(tmp_path: Path) -> None:
    servers = [Server(), Server(refuses=True), Server()]

    async def scenario(caller: Caller) -> None:
        code, text = await caller.error(RELOAD, b"a")
        assert code == "INVALID_ARGUMENT"
        assert text.startswith("2 of 3 replicas have taken it; 127.0.0.1:")
        assert text.endswith(f"has not: {REFUSED}")
        assert [server.models for server in servers] == [{"a"}, {"a", "b"}, {"a"}]
        assert await caller.ask(PREDICT, predicting("b"))  # one still has it

    against(tmp_path, servers, scenario)


def test_what_was_asked_before_a_reload_is_not_believed_after_it(tmp_path: Path) -> None:
    """A round of the reconciler that began earlier and ends later brings no dropped model back."""
    server = Server()

    async def scenario(caller: Caller) -> None:
        late = server.next_description_waits = asyncio.Event()
        async with asyncio.timeout(20):
            await server.held.wait()  # model c is not there, so the next round comes soon
        assert await caller.ask(RELOAD, b"c") == TAKEN
        asked = server.descriptions
        late.set()
        async with asyncio.timeout(20):
            while server.descriptions < asked + 6:
                assert [await caller.state(model) for model in "abc"] == ["END", "END", "AVAILABLE"]

    against(tmp_path, [server], scenario)
