"""What a backend says of its model decides whether its sequences can be padded; what does not fit is said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.control.fitting import with_sequence
from gateway.messages import ModelDescription
from gateway.sequence_config import RaggedInputConfig, RaggedOutputConfig, SequenceConfig
from gateway.sequences import RaggedInput, RaggedOutput, SequenceSpec
from gateway.tensors import DTYPES, Datatype, Signature, TensorSpec

RAGGED = (-1, -1)


def described(*signatures: Signature) -> ModelDescription:
    found = {signature.name: signature for signature in signatures}
    return ModelDescription(model="m", version="1", platform="p", signatures=found)


def signature(
    inputs: Mapping[str, TensorSpec | tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    name: str = "serving_default",
    *,
    is_whole: bool = False,
) -> Signature:
    return Signature(
        name,
        {
            n: s if isinstance(s, TensorSpec) else TensorSpec(n, "INT64", s)
            for n, s in inputs.items()
        },
        {n: TensorSpec(n, "FP32", shape) for n, shape in outputs.items()},
        is_whole=is_whole,
    )


def configured(
    *inputs: str, outputs: Mapping[str, int] | None = None, axis: int = 1, pad: float = 0.0
) -> SequenceConfig:
    return SequenceConfig(
        inputs={name: RaggedInputConfig(axis=axis, pad=pad) for name in inputs},
        outputs={n: RaggedOutputConfig(axis=at) for n, at in (outputs or {}).items()},
        buckets=(16, 32),
        min_length=2,
    )


PLAIN = signature({"ids": RAGGED, "mask": RAGGED}, {"embedding": (-1, 384)})


def test_a_signature_that_fits_is_told_how_its_requests_are_padded() -> None:
    spanned = signature({"ids": RAGGED, "mask": RAGGED}, {"spans": (-1, 8, -1)}, "spans")
    other = signature({"text": (-1,)}, {"embedding": (-1, 384)}, "text")
    config = configured("ids", "mask", outputs={"spans": 2})
    told, complaint = with_sequence("at", config, described(PLAIN, spanned, other))
    inputs = (RaggedInput("ids", 1, 0.0), RaggedInput("mask", 1, 0.0))
    plain = SequenceSpec(inputs=inputs, outputs=(), buckets=(16, 32), min_length=2)
    spans = SequenceSpec(
        inputs=inputs, outputs=(RaggedOutput("spans", 2),), buckets=(16, 32), min_length=2
    )
    assert complaint == ""
    assert {name: found.sequence for name, found in told.signatures.items()} == {
        "serving_default": plain,
        "spans": spans,
        "text": None,
    }
    assert list(told.signatures) == ["serving_default", "spans", "text"]


def test_a_model_that_declares_nothing_is_left_as_it_is() -> None:
    description = described(PLAIN)
    assert with_sequence("at", SequenceConfig(), description) == (description, "")


@pytest.mark.parametrize(
    ("config", "found", "complaint"),
    [
        (
            configured("ids", "masc"),
            PLAIN,
            "at.inputs: got ids, masc, which no signature has together: serving_default has ids, mask",
        ),
        (
            configured("ids", outputs={"spans": 1}),
            PLAIN,
            "at.outputs.spans: no such output, the model has embedding",
        ),
        (
            configured("ids", axis=2),
            PLAIN,
            "at.inputs.ids.axis: got 2, wants a dynamic dimension of [rows, *]",
        ),
        (
            configured("ids"),
            signature({"ids": (-1, 128)}, {"embedding": (-1, 384)}),
            "at.inputs.ids.axis: got 1, wants a dynamic dimension of [rows, 128]",
        ),
        (
            configured("ids", outputs={"embedding": 1}),
            PLAIN,
            "at.outputs.embedding.axis: got 1, wants a dynamic dimension of [rows, 384]",
        ),
        (
            configured("ids"),
            signature({"ids": RAGGED}, {"tokens": (-1, -1, 384)}),
            (
                "at.outputs: tokens is [rows, *, 384]; declare its axis, or its padding would be"
                " answered"
            ),
        ),
        (
            configured("ids"),
            signature({"ids": RAGGED}, {"embedding": (384,)}),
            "at.inputs: requests of signature serving_default never share a batch, so none is padded",
        ),
        (
            configured("ids"),
            signature({"ids": RAGGED}, {"embedding": (-1, 384)}, is_whole=True),
            "at.inputs: requests of signature serving_default never share a batch, so none is padded",
        ),
        (
            configured("ids", axis=2, pad=0.5),
            PLAIN,
            (
                "at.inputs.ids.axis: got 2, wants a dynamic dimension of [rows, *]; "
                "at.inputs.ids.pad: got 0.5, which INT64 cannot hold"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_padded(
    config: SequenceConfig, found: Signature, complaint: str
) -> None:
    description = described(found)
    assert with_sequence("at", config, description) == (description, complaint)


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("pad", [0.0, 1.0, 2.0, -1.0, 0.5, 300.0, 1e6, 1e300])
def test_a_pad_must_be_a_number_that_the_input_can_hold(datatype: Datatype, pad: float) -> None:
    holds = {
        "BOOL": pad in (0, 1),
        "UINT8": pad in (0, 1, 2),
        "INT8": pad in (0, 1, 2, -1),
        "BYTES": False,
        "FP16": pad < 65504,
        "BF16": pad < 1e38,
        "FP32": pad < 1e38,
        "FP64": True,
    }
    whole, unsigned = pad == int(pad) and pad < 1e9, datatype.startswith("U")
    fits = holds.get(datatype, whole and not (unsigned and pad < 0))
    if datatype in ("INT16", "UINT16"):
        fits = fits and pad <= 300
    found = signature({"ids": TensorSpec("ids", datatype, RAGGED)}, {"embedding": (-1, 384)})
    told, complaint = with_sequence("at", configured("ids", pad=pad), described(found))
    assert (told.signatures["serving_default"].sequence is not None) is fits
    assert complaint == (
        "" if fits else f"at.inputs.ids.pad: got {pad:g}, which {datatype} cannot hold"
    )
