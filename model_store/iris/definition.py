"""What does iris take and return, and how is it trained?"""

from model_store.definition import Definition, Recipe, SourceFile
from model_store.records import DynamicDim, ModelSignature, TensorEntry

_ROWS = (DynamicDim(axis=0, name="rows", min=1, max=256),)

DEFINITION = Definition(
    name="iris",
    description="Perceptron 4-64-32-3 on Fisher's iris: centimetres in, logits of three species out",
    signature=ModelSignature(
        name="serving_default",
        inputs=(TensorEntry(name="x", datatype="FP32", shape=(-1, 4), dynamic=_ROWS),),
        outputs=(TensorEntry(name="logits", datatype="FP32", shape=(-1, 3), dynamic=_ROWS),),
    ),
    decision="argmax",
    decision_output="logits",
    atol=5e-5,
    rtol=1e-5,
    recipe=Recipe(
        seed=20,
        lr=0.01,
        epsilon=1e-8,
        weight_decay=1e-4,
        batch_size=16,
        epochs=60,
        weight_init="Kaiming normal for ReLU, zero biases",
    ),
    weight_origin="",
    sources=(SourceFile(distribution="scikit-learn", path="sklearn/datasets/data/iris.csv"),),
    accuracy_name="species named right",
)
