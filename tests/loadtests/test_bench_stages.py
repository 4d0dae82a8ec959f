"""Where the CPU goes: stages of stacks, their shares, and the section; and the profiler itself, on a process of ours."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.processes import ROOT, running
from loadtests.bench_stages.__main__ import BENCHMARK
from loadtests.bench_stages.profiler import cpu_s_of_threads, spent, watched
from loadtests.bench_stages.rounds import ALL
from loadtests.bench_stages.section import as_before, section
from loadtests.bench_stages.stacks import Sampled, read, shared_out
from loadtests.bench_stages.stages import PASSED_OVER, RULES, STAGES, Frame, Stage, stage_of
from loadtests.results import FOLDER, Row, load, rendered
from tests.loadtests.reports import report

# -- which stage ----------------------------------------------------------------------------------

ROOTS = ("<module> (tandem)", "run (gateway/cli/serve.py)", "run (uvloop/__init__.py)")
SERVED = (*ROOTS, "read (loop.c)", "DirectProtocol.data_received (gateway/http1/direct.py)")
READ = (*SERVED, "TfsRest.begin (gateway/servers/tfs_rest.py)")
FLOWN = (*ROOTS, "Handle__run (loop.c)", "task_step (_asynciomodule.c)", "Flight.run (gateway/batching/flight.py)")  # fmt: skip
CALLED = (*FLOWN, "OipBackend.infer (gateway/backends/oip.py)")


def frames(texts: tuple[str, ...]) -> tuple[Frame, ...]:
    (one,) = read(f"thread (1): MainThread;{';'.join(texts)} 1")
    return one.stack


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        ((*ROOTS, "uv__io_poll (linux.c)", "epoll_pwait (libc.so.6)"), "event loop, sockets, kernel"),
        ((*SERVED, "UVStream_write (loop.c)", "write (libc.so.6)"), "event loop, sockets, kernel"),
        (SERVED, "HTTP protocol"),
        (READ, "endpoint"),
        ((*READ, "parse_predict (gateway/codecs/tfs_json.py)", "loads (orjson/orjson.so)"), "decode"),
        ((*READ, "decode_inputs (gateway/codecs/tfs_json.py)", "encode_x (gateway/codecs/raw.py)"), "decode"),
        ((*READ, "encode_response (gateway/codecs/tfs_json.py)", "raw (gateway/codecs/raw.py)"), "answer encode"),
        ((*READ, "Pipeline.submit (gateway/pipeline.py)"), "route"),
        ((*READ, "Queue.enter (gateway/batching/queue.py)", "siftup (_heapqmodule.c)"), "check, queue, batch"),
        (FLOWN, "check, queue, batch"),
        ((*FLOWN, "Tensor.rows (gateway/tensors.py)", "<lambda> (<string>)"), "check, queue, batch"),
        (CALLED, "backend call"),
        ((*CALLED, "decode_response (gateway/codecs/oip_proto.py)"), "backend call"),
        ((*CALLED, "UnaryUnaryCall.__init__ (grpc/aio/_call.py)"), "backend call"),
        ((*CALLED, "__init__ (grpc/aio/_call.py)", "0x7f (grpc/_cython/cygrpc.so)"), "gRPC core"),
        (("run (threading.py)", "0x7f (grpc/_cython/cygrpc.so)", "write (libc.so.6)"), "gRPC core"),
        ((*READ, "Tally.inc (gateway/telemetry/instruments.py)"), "telemetry"),
        ((*READ, "gc_collect_main (libpython3.11.so.1.0)", "dealloc (libc.so.6)"), "garbage collection"),
        ((*SERVED, "Mirror.offer (gateway/shadow/mirror.py)"), "other"),
        (("run (threading.py)",), "other"),
        ((), "other"),
    ],
)  # fmt: skip
def test_the_innermost_frame_that_a_rule_names_decides(
    stack: tuple[str, ...], stage: Stage
) -> None:
    found = stage_of(frames(stack) if stack else ())
    assert found == stage


@given(
    st.sampled_from([SERVED, READ, FLOWN, CALLED]),
    st.lists(st.sampled_from(["x (libc.so.6)", "y (numpy/_core/u.so)", "z (asyncio/tasks.py)", "w (gateway/values.py)"])),
)  # fmt: skip
def test_what_no_rule_names_is_its_callers(stack: tuple[str, ...], called: list[str]) -> None:
    assert stage_of(frames((*stack, *called))) == stage_of(frames(stack))


def our_files() -> list[str]:
    return [str(file.relative_to(ROOT)) for file in sorted((ROOT / "gateway").rglob("*.py"))]


def foreign_files() -> list[str]:
    """Of the packages that rules name; uvloop's compiled code goes by the name of what it was made of."""
    found = ["loop.c"] if find_spec("uvloop.loop") else []
    for name in ("grpc", "logging", "uvicorn", "uvloop"):
        (folder,) = find_spec(name).submodule_search_locations  # type: ignore[union-attr, misc]  # installed
        top = Path(folder)
        found += [str(file.relative_to(top.parent)) for file in sorted(top.rglob("*.py"))]
    return found


def test_no_rule_is_dead() -> None:
    """Each is the first to fit some module that exists."""
    first = Counter(
        next((prefix for prefix, _ in RULES if file.startswith(prefix)), "")
        for file in chain(our_files(), foreign_files())
    )
    assert [prefix for prefix, _ in RULES if not first[prefix]] == []
    unused = [p for p in PASSED_OVER if not any(file.startswith(p) for file in our_files())]
    assert unused == []


@pytest.mark.parametrize(
    "folder", ["backends", "batching", "codecs", "routing", "servers", "telemetry"]
)
def test_every_module_of_the_path_has_a_stage(folder: str) -> None:
    inside = [file for file in our_files() if file.startswith(f"gateway/{folder}/")]
    assert inside
    served = Frame("serve", "gateway/servers/rest.py")
    assert "other" not in {stage_of([served, Frame("f", file)]) for file in inside}


def test_every_stage_can_be_reached() -> None:
    ruled = {stage for _, stage in RULES}
    assert set(STAGES) - ruled == {"decode", "answer encode", "garbage collection", "other"}
    assert ruled < set(STAGES)


# -- how much -------------------------------------------------------------------------------------


def test_stacks_are_read_as_the_profiler_writes_them() -> None:
    text = (
        "thread (12): Thread-1 (_monitor);run (threading.py:982);0x7f0b (libc.so.6) 7\n"
        "thread (0x7F0B);f (<string>:2) 1\n"
    )
    assert read(text) == [
        Sampled(12, (Frame("run", "threading.py"), Frame("0x7f0b", "libc.so.6")), 7),
        Sampled(0x7F0B, (Frame("f", "<string>"),), 1),
    ]


@pytest.mark.parametrize("line", ["run (threading.py) 1", "thread (1): Main;run (a.py)", "?"])
def test_what_is_no_stack_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no stack of a thread"):
        read(line)


FLOWN_STACK, SERVED_STACK = frames(FLOWN), frames(SERVED)
SAMPLED = st.builds(
    Sampled, st.integers(1, 4), st.sampled_from([FLOWN_STACK, SERVED_STACK, ()]), st.integers(1, 99)
)


@given(st.lists(SAMPLED), st.dictionaries(st.integers(1, 4), st.floats(0, 100)))
def test_the_stages_share_all_of_the_cpu_and_no_more(
    sampled: list[Sampled], cpu_s_of: dict[int, float]
) -> None:
    found = shared_out(sampled, cpu_s_of, 1000)
    assert sum(found.values()) == pytest.approx(sum(cpu_s_of.values()) * 1e3)
    assert all(us >= 0 for us in found.values())


def test_a_thread_weighs_what_it_used_however_often_it_was_seen() -> None:
    sampled = [
        Sampled(1, SERVED_STACK, 3),
        Sampled(1, FLOWN_STACK, 1),
        Sampled(2, frames(("_monitor (logging/handlers.py)",)), 1000),
    ]
    assert shared_out(sampled, {1: 4.0, 2: 0.5, 3: 1.0}, 10_000) == {
        "HTTP protocol": pytest.approx(300),
        "check, queue, batch": pytest.approx(100),
        "telemetry": pytest.approx(50),
        "gRPC core": pytest.approx(100),
    }


def test_threads_are_told_apart_by_what_they_used() -> None:
    before = cpu_s_of_threads(os.getpid())
    ended = threading.Event()
    idle = threading.Thread(target=ended.wait, args=(60,))
    idle.start()
    us = threading.get_native_id()
    found = spent(before, cpu_s_of_threads(os.getpid()))
    while found[us] < 0.1:  # by being asked
        found = spent(before, cpu_s_of_threads(os.getpid()))
    ended.set()
    idle.join()
    assert idle.native_id is not None
    assert found[idle.native_id] < 0.1


# -- the profiler ---------------------------------------------------------------------------------

BURNS = "import time\ndef burns():\n while time.process_time() < 4: sum(range(9999))\nburns()\n"


def may_trace() -> bool:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return os.geteuid() == 0 or not scope.exists() or scope.read_text().strip() == "0"


@pytest.mark.slow
@pytest.mark.skipif(not may_trace(), reason="only root may trace processes here")
def test_the_profiler_sees_who_is_busy(tmp_path: Path) -> None:
    program = tmp_path / "burns.py"
    program.write_text(BURNS)
    with running("burns", [sys.executable, program], core=None, logs=tmp_path) as burning:
        pid = burning.process.pid
        with watched(pid, 50, tmp_path, core=None) as file:
            assert burning.process.wait(60) == 0
    sampled = read(file.read_text())
    assert {one.thread for one in sampled} == {pid}
    assert any(frame.function == "burns" for one in sampled for frame in one.stack)


def test_a_profiler_that_cannot_work_says_why(tmp_path: Path) -> None:
    with running("gone", [sys.executable, "-c", ""], core=None, logs=tmp_path) as gone:
        gone.process.wait(60)
    with (
        pytest.raises(SystemExit, match=r"py-spy took no stacks:\n.*Error"),
        watched(gone.process.pid, 50, tmp_path, core=None),
    ):
        pytest.fail("there is nothing to watch")


# -- how it reads ---------------------------------------------------------------------------------


def rows(us: float) -> list[Row]:
    found: list[Row] = []
    for added in (0.0, 1.0, 5.0):
        found += [
            {"run": "now", "wire": "REST JSON", "stage": stage, "us": us + added}
            for stage in STAGES
        ]
        found.append(
            {"run": "now", "wire": "REST JSON", "stage": ALL, "us": 60.0 + added, "per_s": 16_000.0,
             "profiled_us": 70.0, "profiled_per_s": 12_000.0, "stacks": 500, "errors": 0}
        )  # fmt: skip
    return found


def test_the_section_puts_the_run_before_beside_this_one() -> None:
    text = section(report([*rows(3.0), *as_before(report(rows(7.0)))]))
    assert "| decode | 4.0 | 3.0 · 4.0 · 8.0 | 8.0 |" in text
    assert "| **all** | 61.0 | 60.0 · 61.0 · 65.0 | 61.0 |" in text
    assert "| REST JSON | 16,000 | 12,000 | 61.0 | 70.0 | 1,500 |" in text


def test_the_first_run_has_none_before_it() -> None:
    assert "| decode | 4.0 | 3.0 · 4.0 · 8.0 | – |" in section(report(rows(3.0)))


def test_only_one_run_is_kept() -> None:
    second = report([*rows(3.0), *as_before(report(rows(7.0)))])
    kept = as_before(second)
    assert len(kept) == len(rows(3.0))
    assert {row["us"] for row in kept if row["stage"] == "decode"} == {3.0, 4.0, 8.0}


def test_the_manual_says_what_was_saved() -> None:
    saved = (FOLDER / f"{BENCHMARK.name}.json").exists()
    wanted = (
        section(load(BENCHMARK.name))
        if saved
        else "Not taken yet: `make bench-stages ARGS=--save`."
    )
    assert rendered(BENCHMARK.name) == wanted
