"""What does digits take and return, and how is it trained?"""

from model_store.definition import Definition, Recipe, SourceFile
from model_store.records import DynamicDim, ModelSignature, TensorEntry

_ROWS = (DynamicDim(axis=0, name="rows", min=1, max=256),)

DEFINITION = Definition(
    name="digits",
    description="Convolutional network on handwritten digits: 8×8 grey values of 0 to 1 in, ten logits out",
    signature=ModelSignature(
        name="serving_default",
        inputs=(TensorEntry(name="image", datatype="FP32", shape=(-1, 8, 8, 1), dynamic=_ROWS),),
        outputs=(TensorEntry(name="logits", datatype="FP32", shape=(-1, 10), dynamic=_ROWS),),
    ),
    decision="argmax",
    decision_output="logits",
    atol=5e-5,
    rtol=1e-5,
    recipe=Recipe(
        seed=8,
        lr=0.002,
        epsilon=1e-8,
        weight_decay=1e-4,
        batch_size=64,
        epochs=15,
        weight_init="Kaiming normal for ReLU, zero biases",
    ),
    weight_origin="",
    sources=(SourceFile(distribution="scikit-learn", path="sklearn/datasets/data/digits.csv.gz"),),
    accuracy_name="digits named right",
)
