"""What crosses to the worker process arrives as it was: values, arrays, strings, and every error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import GatewayError
from gateway.servers.heavy_wire import COUNT, dump, exhaust, load, sizes_of, written
from gateway.servers.statuses import UnknownStatus
from gateway.tensors import DTYPES, Array, Datatype, Tensor


def crossed(value: object) -> object:
    return exhaust(load([bytes(part) for part in exhaust(dump(value))]))


@given(st.lists(st.binary(max_size=40)), st.sampled_from([(-1,), (-1, 1), (1, -1, 1)]))
def test_strings_of_any_length_and_number_arrive(
    strings: list[bytes], shape: tuple[int, ...]
) -> None:
    array = np.array([*strings, b""], np.object_)[:-1].reshape(shape)
    found = crossed((Tensor("s", "BYTES", array), b"between"))
    assert isinstance(found, tuple)
    assert found[0].array.shape == array.shape
    assert found[0].array.tolist() == array.tolist()
    assert found[1] == b"between"


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 20_000])
def test_many_strings_leave_pauses_for_others(count: int) -> None:
    array = np.array([b"%d" % i for i in range(count)] + [b""], np.object_)[:-1]
    steps = dump(array)
    pauses = 0
    try:
        while True:
            next(steps)
            pauses += 1
    except StopIteration as stop:
        found = exhaust(load(stop.value))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == array.tolist()
    assert pauses == -(-count // 4096)


@pytest.mark.parametrize("datatype", DTYPES.keys() - {"BYTES"})
@pytest.mark.parametrize("shape", [(), (0, 3), (5, 3), (70_000,)])
def test_arrays_of_every_datatype_arrive(datatype: Datatype, shape: tuple[int, ...]) -> None:
    numbers = np.arange(int(np.prod(shape))) % 100
    array: Array = numbers.reshape(shape).astype(DTYPES[datatype])
    found = crossed(array)
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize("size", [0, 4095, 4096, 1_000_000])
def test_texts_arrive_as_bytes(size: int) -> None:
    found = crossed({"text": b"x" * size, "n": [1, None]})
    assert found == {"text": b"x" * size, "n": [1, None]}
    assert isinstance(found, dict)
    assert type(found["text"]) is bytes


def test_large_arrays_and_texts_are_not_copied_into_the_pickle() -> None:
    parts = exhaust(dump((b"x" * 100_000, np.zeros(100_000))))
    assert len(parts[1]) < 1000


@given(st.lists(st.sampled_from([b"", b"12345", b"x" * 50_000]), max_size=9))
def test_the_sizes_go_before_the_parts(parts: list[bytes]) -> None:
    told = b"".join(written(parts))
    end = COUNT.size + 8 * len(parts)
    assert COUNT.unpack(told[: COUNT.size]) == (len(parts),)
    assert sizes_of(told[COUNT.size : end]) == tuple(map(len, parts))
    assert told[end:] == b"".join(parts)


def test_short_parts_are_sent_together() -> None:
    assert len(list(written([b"a", b"b", b"x" * 50_000, b"c", b""]))) == 3


@pytest.mark.parametrize(
    "kind", [*(getattr(errors, name) for name in errors.__all__), UnknownStatus]
)
def test_every_error_arrives_whole(kind: type[GatewayError]) -> None:
    extra: dict[str, object] = (
        {"retry_after_s": 7.0} if issubclass(kind, errors.GatewayBusy) else {}
    )
    if issubclass(kind, errors.BackendRefused):
        extra |= {"code": "ABORTED", "details": "no"}
    make: Callable[..., GatewayError] = kind
    sent = make("wrong", path="inputs[1].shape", **extra)
    found = crossed(sent)
    assert type(found) is kind
    assert str(found) == str(sent) == "inputs[1].shape: wrong"
    assert (
        vars(found)
        == vars(sent)
        == {"message": "wrong", "path": "inputs[1].shape", "hint": "", **extra}
    )
