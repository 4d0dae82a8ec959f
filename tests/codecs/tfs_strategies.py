"""What TF Serving's messages can carry, for the properties of the codecs."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from gateway.messages import InferRequest, InferResponse, ModelDescription, VersionStatus
from gateway.tensors import DTYPES, Signature, Tensor, TensorSpec
from tests.codecs.oip_strategies import names, tensors

versions = st.none() | st.integers(0, 2**63 - 1).map(str)
model_names = names.filter(bool)

unique_tensors = st.lists(tensors(), max_size=3, unique_by=lambda tensor: tensor.name).map(
    lambda found: tuple(sorted(found, key=lambda tensor: tensor.name))
)


@st.composite
def requests(draw: st.DrawFn) -> InferRequest:
    version = draw(versions)
    return InferRequest(
        model=draw(model_names),
        version=version,
        label=draw(st.none() | names) if version is None else None,
        signature=draw(names),
        inputs=draw(unique_tensors),
        outputs=tuple(draw(st.lists(names, max_size=3))),
    )


@st.composite
def responses(draw: st.DrawFn) -> InferResponse:
    return InferResponse(
        model=draw(model_names),
        version=draw(versions) or "",
        signature=draw(model_names),
        outputs=draw(unique_tensors),
    )


@st.composite
def specs(draw: st.DrawFn) -> dict[str, TensorSpec]:
    shapes = st.none() | st.lists(st.integers(-1, 9), max_size=3).map(tuple)
    return {
        name: TensorSpec(name, draw(st.sampled_from(tuple(DTYPES))), draw(shapes))
        for name in sorted(draw(st.lists(names, max_size=3, unique=True)))
    }


@st.composite
def descriptions(draw: st.DrawFn) -> ModelDescription:
    return ModelDescription(
        model=draw(names),
        version=draw(versions) or "",
        platform="tensorflow_serving",
        signatures={
            name: Signature(name, draw(specs()), draw(specs()), "tensorflow/serving/predict")
            for name in sorted(draw(st.lists(names, max_size=3, unique=True)))
        },
    )


statuses = st.lists(
    st.builds(
        VersionStatus,
        version=st.integers(0, 2**63 - 1).map(str),
        state=st.sampled_from(("START", "LOADING", "AVAILABLE", "UNLOADING", "END")),
        error_code=st.sampled_from(("OK", "NOT_FOUND", "INTERNAL", "UNAUTHENTICATED")),
        error_message=names,
    ),
    max_size=4,
    unique_by=lambda status: status.version,
).map(lambda found: tuple(sorted(found, key=lambda status: int(status.version), reverse=True)))


def without_tensors(message: InferRequest | InferResponse) -> InferRequest | InferResponse:
    """For comparing: tensors hold arrays, which have no single truth."""
    if isinstance(message, InferRequest):
        return dataclasses.replace(message, inputs=())
    return dataclasses.replace(message, outputs=())


def renamed(tensor: Tensor, name: str) -> Tensor:
    return dataclasses.replace(tensor, name=name)
