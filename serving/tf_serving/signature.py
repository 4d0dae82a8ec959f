"""Does a request fit a signature of a SavedModel, and what is to be run for it?

The checks are TensorFlow Serving's, in its order and its words: the number of inputs, their names, the
output filter, then datatypes. Ranks and dimensions are not compared with the signature: neither the real
server nor the runtime does that. What does not fit the graph fails in the graph, with the graph's words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.codecs.tfs_tensor import DATATYPES, dtype_name
from gateway.errors import InvalidRequest, Unsupported
from gateway.tensors import Array, Datatype, Tensor

__all__ = ["Binding", "Call", "ServedSignature", "check_datatype", "plan_call"]

_METHODS = (
    "tensorflow/serving/predict",
    "tensorflow/serving/classify",
    "tensorflow/serving/regress",
)

_TYPE_NAMES: Mapping[Datatype, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "half",
    "BF16": "bfloat16",
    "FP32": "float",
    "FP64": "double",
    "BYTES": "string",
}
"""What the runtime calls each datatype in its errors."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where an input or output sits in the graph: `tensor` as `name:index`, `dtype` as TensorFlow's number."""

    tensor: str
    dtype: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSignature:
    """One signature of a SavedModel; inputs and outputs by alias, in the order of the aliases.

    Attributes:
        defaults: Values for inputs that a request may leave out.
        text: How the real server prints it in an error.
    """

    name: str
    method: str
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, Binding]
    defaults: Mapping[str, Array] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What to run: one array per input of the signature, in its order, and the outputs to fetch."""

    feeds: tuple[Array, ...]
    outputs: tuple[str, ...]


def plan_call(
    signature: ServedSignature, inputs: Sequence[Tensor], output_filter: Sequence[str]
) -> Call:
    """Check a request against the signature and say what to run.

    Args:
        signature: The signature asked for.
        inputs: The request's tensors, in any order.
        output_filter: The outputs wanted, in any order; empty for all.

    Raises:
        InvalidRequest: wrong names, datatypes or outputs.
        Unsupported: an output has a datatype that cannot be answered.
    """
    given = {tensor.name: tensor for tensor in inputs}
    if signature.method not in _METHODS:
        raise InvalidRequest(
            "Expected prediction signature method_name to be one of"
            f" {{{', '.join(_METHODS)}}}. Was: {signature.method}"
        )
    _check_count(signature, given)
    _check_names(signature, given)
    outputs = _wanted_outputs(signature, output_filter)
    return Call(tuple(_feeds(signature, given)), outputs)


def _check_count(signature: ServedSignature, given: Mapping[str, Tensor]) -> None:
    wanted = signature.inputs
    if len(wanted) - len(signature.defaults) <= len(given) <= len(wanted):
        return
    extra, missing = given.keys() - wanted.keys(), wanted.keys() - given.keys()
    raise InvalidRequest(
        f"input size does not match signature: {len(given)}!={len(wanted)}"
        f" len({_set(given)}) != len({_set(wanted)})."
        f" Sent extra: {_set(extra)}. Missing but required: {_set(missing)}."
    )


def _check_names(signature: ServedSignature, given: Mapping[str, Tensor]) -> None:
    for alias, binding in signature.inputs.items():
        if alias not in given and alias not in signature.defaults:
            raise InvalidRequest(
                f"Signature input alias: {alias}(feed name: {binding.tensor}) not found in request"
                f" and no default value provided. Inputs expected to be in the request"
                f" {_set(given)}, or default input alias set: {','.join(sorted(signature.defaults))}"
            )


def _wanted_outputs(signature: ServedSignature, output_filter: Sequence[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise InvalidRequest(
                f"output tensor alias not found in signature: {alias}"
                f" Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if alias in seen:
            raise InvalidRequest(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    wanted = tuple(sorted(seen)) if seen else tuple(signature.outputs)
    for alias in wanted:
        dtype = signature.outputs[alias].dtype
        if dtype not in DATATYPES:
            raise Unsupported(f"output {alias}: {dtype_name(dtype)} cannot be answered here")
    return wanted


def _feeds(signature: ServedSignature, given: Mapping[str, Tensor]) -> Iterable[Array]:
    for index, (alias, binding) in enumerate(signature.inputs.items()):
        tensor = given.get(alias)
        if tensor is None:
            yield signature.defaults[alias]
            continue
        check_datatype(index, binding, tensor.datatype)
        yield tensor.array


def check_datatype(index: int, binding: Binding, given: Datatype) -> None:
    """Raise InvalidRequest, in the runtime's words, unless the `index`-th feed takes this datatype."""
    wanted = DATATYPES.get(binding.dtype)
    if given != wanted:
        name = _TYPE_NAMES[wanted] if wanted else dtype_name(binding.dtype)
        raise InvalidRequest(
            f"Expects arg[{index}] to be {name} but {_TYPE_NAMES[given]} is provided"
        )


def _set(names: Collection[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
