"""The steps that need TensorFlow: export, predict with the export, look into the layers.

`serving.export.build` runs each in the TensorFlow environment, as a process of its own:

    python -m serving.export.tensorflow_steps MODEL WORK export|predict|layers …

The SavedModel has one signature, `serving_default`, with the names of the definition's signature for its
inputs and its outputs. `keras.Model.export` would name the outputs `output_0` and so on.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gateway.tensors import DTYPES, Array
from model_store.definition import Definition, find
from model_store.records import Artifact
from serving.export import cases
from serving.export.work import Work, write_record


def run_export(definition: Definition, work: Work) -> None:
    """Write the SavedModel into the version directory."""
    model = _with_weights(definition, work)
    names = [entry.name for entry in definition.signature.outputs]

    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = model(inputs, training=False)
        return dict(zip(names, tf.nest.flatten(outputs), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(definition.signature.name, serve, input_signature=[_specs(definition)])
    archive.write_out(str(work.version), verbose=False)
    record = Artifact(
        platform="tensorflow_savedmodel",
        framework_version=tf.__version__,
        entry=".",
        device="any",
        files={},
        options={"keras": keras.__version__},
    )
    write_record(work.artifact("tensorflow"), record)


def run_predict(definition: Definition, work: Work) -> None:
    """Answer every case through the SavedModel's signature, as TensorFlow Serving does it."""
    loaded = tf.saved_model.load(str(work.version))
    signature = loaded.signatures[definition.signature.name]

    def answer(inputs: cases.Tensors) -> cases.Tensors:
        outputs = signature(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: out.numpy() for name, out in outputs.items()}

    cases.answer_all(work.cases, work.outputs("tensorflow"), answer)


def run_layers(definition: Definition, work: Work) -> None:
    """Run the definition on the ten samples; keep what every layer gave, and the weights it has."""
    model = _with_weights(definition, work)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    probe = keras.Model(model.input, [layer.output for layer in layers])
    samples = cases.load_tensors(work.cases)[f"{cases.SAMPLES}#0"]
    outputs = probe(dict(samples), training=False)
    seen = {layer.name: np.asarray(out) for layer, out in zip(layers, outputs, strict=True)}
    weights = {
        f"{layer.name}.{index}": np.asarray(value)
        for layer in layers
        for index, value in enumerate(layer.get_weights())
    }
    cases.save_tensors(work.layers("tensorflow"), {"layers": seen, "weights": weights})


def _with_weights(definition: Definition, work: Work) -> keras.Model:
    package = f"model_store.{definition.name}"
    model: keras.Model = importlib.import_module(f"{package}.keras_model").build()
    with np.load(work.weights, allow_pickle=False) as arrays:
        weights: dict[str, Array] = {name: arrays[name] for name in arrays}
    layers = importlib.import_module(f"{package}.weights").to_keras(weights)
    for layer in model.layers:
        # Every layer, so that one the mapping forgot fails here instead of serving its initial weights.
        layer.set_weights(layers.pop(layer.name, []))
    if layers:
        raise ValueError(f"{definition.name}: Keras has no layers named {sorted(layers)}")
    return model


def _specs(definition: Definition) -> dict[str, tf.TensorSpec]:
    return {
        entry.name: tf.TensorSpec(
            [None if size == -1 else size for size in entry.shape],
            tf.as_dtype(DTYPES[entry.datatype]),
            name=entry.name,
        )
        for entry in definition.signature.inputs
    }


def main() -> None:
    """Run the steps named, in that order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("steps", nargs="+", choices=("export", "predict", "layers"))
    args = parser.parse_args()
    steps = {"export": run_export, "predict": run_predict, "layers": run_layers}
    for step in args.steps:
        steps[step](find(args.model), Work(args.work))


if __name__ == "__main__":
    main()
