"""Which functions read bytes that somebody else wrote, and what may such bytes look like?

One table for the property tests and for the fuzzer: every decoder of every codec, each with bodies to
begin from, recorded from the real TensorFlow Serving or made by our own encoders.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from gateway.codecs import (
    health,
    npy,
    oip_config,
    oip_json,
    oip_json_metadata,
    oip_model_config,
    oip_proto,
    oip_proto_metadata,
    oip_statistics,
    tfs_json,
    tfs_json_examples,
    tfs_proto,
    tfs_proto_examples,
    torchserve,
    torchserve_management,
    torchserve_predictions,
    torchserve_proto,
    trace_context,
)
from gateway.codecs.oip_raw_request import decode_raw_request
from gateway.codecs.tfs_json_read import is_in_json
from gateway.messages import ExampleMethod, InferRequest, InferResponse, ModelDescription, Target
from gateway.tensors import DTYPES, Array, Datatype, Signature, Tensor, TensorSpec
from tests.golden.exchanges import grpc_exchanges, rest_exchanges

__all__ = ["DECODERS", "Decoder"]

_SIGNATURE = Signature(
    "serving_default",
    {"x": TensorSpec("x", "FP32", (-1, 4))},
    {"y": TensorSpec("y", "FP32", (-1, 4))},
)
_IN_JSON = tuple(filter(is_in_json, DTYPES))
_EVERY = Signature("all", {name: TensorSpec(name, name, (-1,)) for name in _IN_JSON}, {})
_DESCRIPTION = ModelDescription(
    model="m", version="1", platform="p", signatures={"serving_default": _SIGNATURE}
)
_NO_CODE_POINTS = np.array([0x2020, 0x20202000], "<u4").view("<U1")


@dataclass(frozen=True)
class Decoder:
    """`read` takes any bytes; `seeds` are some that mean something to it."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _tensors() -> tuple[Tensor, ...]:
    numbers = [d for d in DTYPES if d != "BYTES"]
    found = [Tensor(name, name, np.zeros(3, DTYPES[name])) for name in numbers]
    return (*found, Tensor("BYTES", "BYTES", np.array([b"", b"\0", b"text"], np.object_)))


_REQUEST = InferRequest(model="m", version="1", inputs=_tensors(), outputs=("y",), id="1")
_RESPONSE = InferResponse(model="m", version="1", outputs=_tensors(), id="1")
_X = Tensor("x", "FP32", np.zeros((2, 4), np.float32))


def _with_length(body: bytes, length: int | None) -> bytes:
    """The header length as the first four bytes, so that it too is any number."""
    return struct.pack("<i", -1 if length is None else length) + body


def _after_length(read: Callable[[bytes, int | None], object]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        length = struct.unpack("<i", data[:4].ljust(4, b"\xff"))[0]
        return read(data[4:], None if length == -1 else length)

    return decode


def _predict(signature: Signature, data: bytes) -> object:
    return tfs_json.decode_inputs(tfs_json.parse_predict(data), signature)


def _predicts() -> tuple[bytes, ...]:
    recorded = [exchange.body for exchange in rest_exchanges() if exchange.kind == "predict"]
    ones = {"BOOL": True, "BYTES": "text"}
    every = {"inputs": {name: [ones.get(name, 1)] for name in _IN_JSON}}
    return (json.dumps(every).encode(), b'{"instances": [[1, 2, 3, 4]]}', *_short(recorded))


def _short(bodies: list[bytes]) -> tuple[bytes, ...]:
    """Those that a fuzzer gets through quickly, once each."""
    return tuple(sorted({body for body in bodies if len(body) <= 2000}))


def _recorded(method: str, *, answers: bool = False) -> tuple[bytes, ...]:
    found = [exchange for exchange in grpc_exchanges() if exchange.kind == method]
    bodies = [(exchange.response or b"") if answers else exchange.request for exchange in found]
    return _short(bodies)


def _oip_json() -> Mapping[str, Decoder]:
    def request(body: bytes, length: int | None) -> object:
        return oip_json.decode_request(body, length, model="m", version=None)

    listed = InferRequest(model="m", inputs=(_X,), parameters={"a": 1})
    asked = [oip_json.encode_request(_REQUEST), oip_json.encode_request(listed, binary=False)]
    answered = [
        oip_json.encode_response(_RESPONSE, oip_json.OutputForm(binary=True)),
        oip_json.encode_response(
            InferResponse(model="m", version="1", outputs=(_X,)), oip_json.OutputForm()
        ),
    ]
    metadata = oip_json_metadata
    return {
        "oip_json request": Decoder(
            _after_length(request), tuple(_with_length(*each) for each in asked)
        ),
        "oip_json response": Decoder(
            _after_length(oip_json.decode_response), tuple(_with_length(*each) for each in answered)
        ),
        "oip_json error": Decoder(metadata.decode_error, (metadata.encode_error("no"),)),
        "oip_json model": Decoder(
            metadata.decode_model_metadata, (metadata.encode_model_metadata(_DESCRIPTION, ["1"]),)
        ),
        "oip_json versions": Decoder(
            metadata.decode_model_versions, (metadata.encode_model_metadata(_DESCRIPTION, ["1"]),)
        ),
        "oip_json server": Decoder(
            metadata.decode_server_metadata, (metadata.encode_server_metadata("n", "1", ["e"]),)
        ),
        "oip_json index": Decoder(
            metadata.decode_repository_index,
            (b'[{"name": "m", "version": "1", "state": "READY"}]',),
        ),
        "oip_json config": Decoder(
            oip_config.read_max_batch_size_json, (b'{"max_batch_size": 8}',)
        ),
    }


def _oip_proto() -> Mapping[str, Decoder]:
    metadata = oip_proto_metadata
    model = metadata.encode_model_metadata(_DESCRIPTION, ["1"])
    return {
        "oip_proto request": Decoder(
            oip_proto.decode_request, (oip_proto.encode_request(_REQUEST),)
        ),
        "oip_proto response": Decoder(
            oip_proto.decode_response, (oip_proto.encode_response(_RESPONSE),)
        ),
        "oip_proto model": Decoder(metadata.decode_model_metadata, (model,)),
        "oip_proto versions": Decoder(metadata.decode_model_versions, (model,)),
        "oip_proto asked model": Decoder(
            metadata.decode_model_request, (metadata.encode_model_request("m", "1"),)
        ),
        "oip_proto index": Decoder(
            metadata.decode_repository_index, (b"\x0a\x09\x0a\x01m\x12\x011\x1a\x01R",)
        ),
        "oip_proto config": Decoder(oip_config.read_max_batch_size_proto, (b"\x0a\x02\x20\x08",)),
    }


def _tfs() -> Mapping[str, Decoder]:
    examples = [e.body for e in rest_exchanges() if e.kind in ("classify", "regress")]
    methods: tuple[ExampleMethod, ...] = ("Classify", "Regress", "MultiInference")
    target = Target(model="m", version="1")
    return {
        "tfs_json predict": Decoder(partial(_predict, _SIGNATURE), _predicts()),
        "tfs_json every dtype": Decoder(partial(_predict, _EVERY), _predicts()),
        "tfs_json examples": Decoder(tfs_json_examples.decode_examples, _short(examples)),
        "tfs_proto request": Decoder(
            tfs_proto.decode_request,
            (tfs_proto.encode_request(_REQUEST), *_recorded("Predict")),
        ),
        "tfs_proto response": Decoder(
            tfs_proto.decode_response,
            (tfs_proto.encode_response(_RESPONSE), *_recorded("Predict", answers=True)),
        ),
        "tfs_proto metadata": Decoder(
            tfs_proto.decode_metadata,
            (tfs_proto.encode_metadata(_DESCRIPTION), *_recorded("GetModelMetadata", answers=True)),
        ),
        "tfs_proto asked metadata": Decoder(
            tfs_proto.decode_metadata_request,
            (tfs_proto.encode_metadata_request(target), *_recorded("GetModelMetadata")),
        ),
        "tfs_proto status": Decoder(
            tfs_proto.decode_status, _recorded("GetModelStatus", answers=True)
        ),
        "tfs_proto asked status": Decoder(
            tfs_proto.decode_status_request, _recorded("GetModelStatus")
        ),
        **{
            f"tfs_proto {method}": Decoder(
                partial(tfs_proto_examples.decode_request, method), _recorded(method)
            )
            for method in methods
        },
        **{
            f"tfs_proto {method} answer": Decoder(
                partial(tfs_proto_examples.decode_response, method),
                _recorded(method, answers=True),
            )
            for method in methods
        },
    }


def _torchserve() -> Mapping[str, Decoder]:
    def answer(data: bytes) -> object:
        return torchserve.decode_response(data, _SIGNATURE, model="m", version="1")

    said = json.dumps({"inputs": [{"name": "x"}], "outputs": [{"name": "y"}]})
    models = [{"modelVersion": "1", "workers": [{"status": "READY"}], "customizedMetadata": said}]
    bodies = (
        b"[[1, 2, 3, 4]]",
        b'{"y": [[1, 2, 3, 4]]}',
        b'{"predictions": [{"y": [1, 2, 3, 4]}]}',
    )
    return {
        "torchserve response": Decoder(answer, bodies),
        "torchserve models": Decoder(
            torchserve_management.decode_models, (json.dumps(models).encode(),)
        ),
        "torchserve request": Decoder(_prediction, _predictions()),
        "torchserve message": Decoder(
            torchserve_proto.decode_request, (b"\x0a\x01m\x1a\x09\x0a\x04data\x12\x01{",)
        ),
        "npy FP32": Decoder(partial(_npy, "FP32"), (_saved(_X.array), _saved(np.arange(3)))),
        "npy INT64": Decoder(partial(_npy, "INT64"), (_saved(np.arange(3, dtype="u1")),)),
        "npy BYTES": Decoder(
            partial(_npy, "BYTES"), (_saved(np.array(["a", "\u00e4"])), _saved(_NO_CODE_POINTS))
        ),
    }


def _npy(datatype: Datatype, data: bytes) -> object:
    return npy.read_npy(data, datatype, path="x")


def _prediction(data: bytes) -> object:
    """Its first line is the content type."""
    kind, _, body = data.partition(b"\n")
    text = kind.decode("latin-1") or None
    torchserve_predictions.slow_bytes(body, text, _SIGNATURE)
    return torchserve_predictions.decode_body(body, text, _SIGNATURE, model="m")


def _predictions() -> tuple[bytes, ...]:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n[[1, 2, 3, 4]]\r\n--b--\r\n'
    return (
        b"application/json\n" + b'{"instances": [[1, 2, 3, 4]]}',
        b'multipart/form-data; boundary="b"\n' + part,
        b"application/x-www-form-urlencoded\nx=%5B1%2C2%2C3%2C4%5D",
        b"application/octet-stream\n" + _X.array.tobytes(),
        b"\n" + _saved(_X.array),
    )


def _saved(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _small() -> Mapping[str, Decoder]:
    """Questions of a few bytes, and headers."""

    def trace(data: bytes) -> object:
        parents, _, states = data.decode("latin-1").partition("\n")
        read = trace_context.read_trace("id", parents.split("\t"), states.split("\t"))
        return trace_context.returned(read), trace_context.carried(read)

    model = oip_proto_metadata.encode_model_request("m", "1")
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    raw_request = partial(decode_raw_request, signature=_SIGNATURE, model="m", version=None)
    return {
        "oip raw request": Decoder(raw_request, (bytes(16),)),
        "oip_proto asked statistics": Decoder(oip_statistics.decode_statistics_request, (model,)),
        "oip_proto asked config": Decoder(oip_model_config.decode_config_request, (model,)),
        "health": Decoder(health.decode_health_request, (b"\x0a\x01m",)),
        "trace": Decoder(trace, (parent + b"\na=b,c=d", parent + b"\t" + parent)),
    }


_ALL = (_oip_json, _oip_proto, _tfs, _torchserve, _small)
DECODERS: Mapping[str, Decoder] = {k: v for part in _ALL for k, v in part().items()}
