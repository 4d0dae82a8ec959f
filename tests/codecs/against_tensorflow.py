"""Are our stubs and codec the real TensorFlow Serving's? Runs where tensorflow_serving is installed.

    python -m tests.codecs.against_tensorflow

Ends with a line that counts what was compared, or with an AssertionError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor as pb
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.messages import InferRequest, InferResponse, ModelDescription, Target, VersionStatus
from gateway.tensors import DTYPES, Datatype, Signature, Tensor, TensorSpec

REAL: Mapping[str, Any] = {
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "ClassificationRequest": classification_pb2.ClassificationRequest,
    "ClassificationResponse": classification_pb2.ClassificationResponse,
    "RegressionRequest": regression_pb2.RegressionRequest,
    "RegressionResponse": regression_pb2.RegressionResponse,
    "MultiInferenceRequest": inference_pb2.MultiInferenceRequest,
    "MultiInferenceResponse": inference_pb2.MultiInferenceResponse,
}

# Declared as runs of bytes on purpose: what the real field, packed, looks like on the wire.
PACKED = {
    "float_val": pb.FieldDescriptor.TYPE_FLOAT,
    "double_val": pb.FieldDescriptor.TYPE_DOUBLE,
    "bool_val": pb.FieldDescriptor.TYPE_BOOL,
}


def pairs(ours: Any, real: Any, seen: set[str]) -> Iterator[tuple[Any, Any]]:
    """Every field of ours, of this message and of those in it, with the real field of its number."""
    if ours.full_name in seen:
        return
    seen.add(ours.full_name)
    for field in ours.fields:
        counterpart = real.fields_by_number.get(field.number)
        assert counterpart is not None, f"{real.full_name} has no field {field.number}"
        yield field, counterpart
        if field.message_type is not None and counterpart.message_type is not None:
            yield from pairs(field.message_type, counterpart.message_type, seen)


def compare_fields() -> int:
    compared = 0
    seen: set[str] = set()
    for name, real in REAL.items():
        ours = wire.DESCRIPTOR.message_types_by_name[name]
        for field, counterpart in pairs(ours, real.DESCRIPTOR, seen):
            assert field.name == counterpart.name, (field.full_name, counterpart.full_name)
            assert field.is_repeated == counterpart.is_repeated, field.full_name
            if field.containing_type.name == "TensorProto" and field.name in PACKED:
                assert field.type == pb.FieldDescriptor.TYPE_BYTES
                assert counterpart.type == PACKED[field.name]
                assert counterpart.is_packed
            else:
                assert field.type == counterpart.type, field.full_name
            if field.enum_type is not None:
                compare_enums(field.enum_type, counterpart.enum_type)
            compared += 1
    return compared


def compare_enums(ours: Any, real: Any) -> None:
    for value in ours.values:
        assert real.values_by_name[value.name].number == value.number, value.name


def sample(datatype: Datatype) -> Any:
    if datatype == "BYTES":
        return np.array([[b"a", b""], [b"\xff\x00", "é".encode()]], object)
    if datatype == "BOOL":
        return np.array([[True, False], [False, True]])
    values = np.array([[0, 1], [2, 100]], np.float64)
    return values.astype(DTYPES[datatype])


def compare_tensors() -> int:
    compared = 0
    for datatype in DTYPES:
        for array in (sample(datatype), sample(datatype)[:0], sample(datatype)[0, 1]):
            shaped = np.asarray(array, DTYPES[datatype])
            compare_request(datatype, shaped)
            compare_response(datatype, shaped)
            compared += 1
    return compared


def compare_request(datatype: Datatype, array: Any) -> None:
    real = predict_pb2.PredictRequest()
    real.model_spec.name = "m"
    real.model_spec.version.value = 7
    real.model_spec.signature_name = "s"
    real.inputs["x"].CopyFrom(tf.make_tensor_proto(array, shape=array.shape))
    real.output_filter.append("y")
    read = tfs_proto.decode_request(real.SerializeToString())
    assert (read.model, read.version, read.signature, read.outputs) == ("m", "7", "s", ("y",))
    assert read.inputs[0].array.tolist() == array.tolist(), datatype
    request = InferRequest(
        model="m",
        version="7",
        signature="s",
        inputs=(Tensor("x", datatype, array),),
        outputs=("y",),
    )
    written = predict_pb2.PredictRequest.FromString(tfs_proto.encode_request(request))
    assert np.array_equal(tf.make_ndarray(written.inputs["x"]), array), datatype
    if real.inputs["x"].tensor_content:  # TensorFlow's client chose the form that we always choose
        assert written == real, datatype
        assert tfs_proto.encode_request(request) == real.SerializeToString(deterministic=True)


def compare_response(datatype: Datatype, array: Any) -> None:
    """Typed fields, byte for byte as TensorFlow's own Tensor.AsProtoField writes them."""
    real = predict_pb2.PredictResponse()
    real.model_spec.name = "m"
    real.model_spec.version.value = 7
    real.model_spec.signature_name = "s"
    proto = real.outputs["y"]
    proto.dtype = tf.as_dtype(array.dtype if datatype != "BYTES" else tf.string).as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    field, values = typed(datatype, array)
    getattr(proto, field).extend(values)
    response = InferResponse(
        model="m", version="7", signature="s", outputs=(Tensor("y", datatype, array),)
    )
    assert tfs_proto.encode_response(response) == real.SerializeToString(deterministic=True), (
        datatype
    )
    read = tfs_proto.decode_response(real.SerializeToString())
    assert read.outputs[0].array.tolist() == array.tolist(), datatype
    written = predict_pb2.PredictResponse.FromString(tfs_proto.encode_response(response))
    assert np.array_equal(tf.make_ndarray(written.outputs["y"]), array), datatype


def typed(datatype: Datatype, array: Any) -> tuple[str, list[Any]]:
    flat = array.ravel()
    if datatype in ("FP16", "BF16"):
        return "half_val", flat.view(np.uint16).tolist()
    fields = {
        "FP32": "float_val",
        "FP64": "double_val",
        "INT64": "int64_val",
        "UINT32": "uint32_val",
        "UINT64": "uint64_val",
        "BOOL": "bool_val",
        "BYTES": "string_val",
    }
    return fields.get(datatype, "int_val"), flat.tolist()


def compare_metadata() -> None:
    spec = {"x": TensorSpec("x", "FP32", (-1, 4))}
    description = ModelDescription(
        model="m",
        version="7",
        platform="tensorflow_serving",
        signatures={"s": Signature("s", spec, {"y": TensorSpec("y", "BYTES", None)}, "predict")},
    )
    real = get_model_metadata_pb2.GetModelMetadataResponse.FromString(
        tfs_proto.encode_metadata(description)
    )
    found = get_model_metadata_pb2.SignatureDefMap()
    assert real.metadata["signature_def"].Unpack(found)
    expected = meta_graph_pb2.SignatureDef(method_name="predict")
    expected.inputs["x"].name = "x:0"
    expected.inputs["x"].dtype = tf.float32.as_datatype_enum
    expected.inputs["x"].tensor_shape.CopyFrom(tf.TensorShape([None, 4]).as_proto())
    expected.outputs["y"].name = "y:0"
    expected.outputs["y"].dtype = tf.string.as_datatype_enum
    expected.outputs["y"].tensor_shape.CopyFrom(tf.TensorShape(None).as_proto())
    assert found.signature_def["s"] == expected
    packed = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=real.model_spec)
    packed.metadata["signature_def"].Pack(found)
    read = tfs_proto.decode_metadata(packed.SerializeToString())
    assert get_model_metadata_pb2.SignatureDefMap.FromString(read.told) == found
    assert replace(read, checks_itself=False, told=b"") == description
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "m"
    asked.model_spec.version_label = "stable"
    target = Target(model="m", label="stable")
    assert tfs_proto.encode_metadata_request(target) == asked.SerializeToString()
    assert tfs_proto.decode_metadata_request(asked.SerializeToString()) == target


def compare_status() -> None:
    statuses = (
        VersionStatus(version="8", state="LOADING"),
        VersionStatus(version="7", state="END", error_code="NOT_FOUND", error_message="gone"),
    )
    real = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        line = real.model_version_status.add(version=int(status.version))
        line.state = get_model_status_pb2.ModelVersionStatus.State.Value(status.state)
        line.status.error_message = status.error_message
        line.status.error_code = 5 if status.error_code == "NOT_FOUND" else 0
    assert tfs_proto.encode_status(statuses) == real.SerializeToString()
    assert tfs_proto.decode_status(real.SerializeToString()) == statuses


def main() -> None:
    fields = compare_fields()
    tensors = compare_tensors()
    compare_metadata()
    compare_status()
    print(f"{fields} fields and {tensors} tensors agree")  # noqa: T201 - read by the test


if __name__ == "__main__":
    main()
