"""Which ModelInferRequests have been read before, but for the bytes of their tensor?

Clients ask again and again with other values alone. Raw values stand at the end of a message, behind all that it
says of them: where that is byte for byte what was read before, and as many bytes follow, nothing but the values
is new. To read a small message all over takes several times as long.

What is remembered is the callers' to fill, so it is little, and of short messages alone.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import numpy as np

from gateway.codecs.oip_proto import decode_request
from gateway.codecs.raw import VIEWED_BYTES
from gateway.codecs.wire_fields import fields
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Tensor

__all__ = ["Head", "Heads"]

_MAX_HEADS: Final = 1024
_MAX_HEAD_BYTES: Final = 512
_MAX_SIZES: Final = 4  # that are tried for one length
_MAX_FIELDS: Final = 16
_RAW_INPUT: Final = 7 << 3 | 2  # the tag of a field of bytes
_NOT_PLAIN: Final = ("BOOL", "BYTES")  # whose bytes have to be looked at

_T = TypeVar("_T")


class Head(Generic[_T]):
    """All of a message but the values of its only tensor.

    Attributes:
        known: What its reader remembers of such requests, None at first.
    """

    __slots__ = ("_dtype", "_request", "_shape", "_size", "known")

    def __init__(self, request: InferRequest, size: int) -> None:
        tensor = request.inputs[0]
        self._size = size
        self._shape = tensor.shape
        self._dtype = DTYPES[tensor.datatype]
        empty = Tensor(tensor.name, tensor.datatype, np.empty(0, self._dtype))
        self._request = _with_inputs(request, empty)
        self.known: _T | None = None

    def request(self, data: bytes) -> InferRequest:
        """The request that the message `data` is, which begins with this head and has the same length."""
        array = np.ndarray(self._shape, self._dtype, data, self._size)
        if array.nbytes < VIEWED_BYTES and not array.flags.aligned:
            array = array.copy()
        like = self._request.inputs[0]
        return _with_inputs(self._request, Tensor(like.name, like.datatype, array))


class Heads(Generic[_T]):
    """The heads that were read lately."""

    # Invariant: the bytes of a head in `_heads` end with the tag and the length of the values that follow it, and these
    # with the message: so a message that begins with them and is as long differs in its values alone.

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[int, ...]] = {}  # of heads, by the length of their messages
        self._heads: dict[tuple[int, bytes], Head[_T]] = {}

    def read(self, data: bytes) -> tuple[InferRequest, Head[_T] | None]:
        """A client's ModelInferRequest, and its head if that is remembered.

        Raises: as `decode_request`.
        """
        for size in self._sizes.get(len(data), ()):
            head = self._heads.get((len(data), data[:size]))
            if head is not None:
                return head.request(data), head
        request = decode_request(data)
        return request, self._remember(data, request)

    def _remember(self, data: bytes, request: InferRequest) -> Head[_T] | None:
        if len(request.inputs) != 1 or request.id or request.parameters:
            return None
        tensor = request.inputs[0]
        size = len(data) - tensor.array.nbytes
        if tensor.datatype in _NOT_PLAIN or not 0 < size <= _MAX_HEAD_BYTES:
            return None
        if not _ends_with_values(data, tensor.array.nbytes):
            return None
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
            self._sizes.clear()
        others = [other for other in self._sizes.get(len(data), ()) if other != size]
        self._sizes[len(data)] = (size, *others[: _MAX_SIZES - 1])
        head = self._heads[len(data), data[:size]] = Head(request, size)
        return head


def _ends_with_values(data: bytes, size: int) -> bool:
    """Whether a sound message has one raw tensor, of so many bytes, and nothing behind it."""
    try:
        found = list(fields(memoryview(data), _MAX_FIELDS))
    except ValueError:
        return False
    raw = [len(value) for tag, value in found if tag == _RAW_INPUT]
    return raw == [size] and found[-1][0] == _RAW_INPUT and size > 0


def _with_inputs(request: InferRequest, tensor: Tensor) -> InferRequest:
    return InferRequest(
        model=request.model,
        inputs=(tensor,),
        version=request.version,
        outputs=request.outputs,
        parameters=request.parameters,
    )
