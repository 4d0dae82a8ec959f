"""Faults as people make them, each put into a copy of the definitions."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import model_store
import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """In `file`, `sound` becomes `faulty`; the first cause named is `cause`, and it speaks of `at`.

    Without a `cause` it is no fault, and the gate must let it pass.
    """

    file: str
    sound: str
    faulty: str
    cause: str
    at: str


KERAS_FAULTS = {
    "none": Fault(
        file="model_store/digits/keras_model.py",
        sound="import keras",
        faulty="import keras  # nothing wrong here",
        cause="",
        at="",
    ),
    "epsilon": Fault(
        file="model_store/digits/keras_model.py",
        sound="_TORCH_EPSILON = 1e-5",
        faulty="_TORCH_EPSILON = 1e-3",
        cause="BatchNorm epsilon",
        at="bn1",
    ),
    "flatten order": Fault(
        file="model_store/digits/weights.py",
        sound='dense_after_flatten(weights, "dense1", (32, 4, 4))',
        faulty='dense(weights, "dense1")',
        cause="weight layout",
        at="dense1",
    ),
    "kernel axes": Fault(
        file="model_store/layouts.py",
        sound="(2, 3, 1, 0)), weights",
        faulty="(3, 2, 1, 0)), weights",
        cause="weight layout",
        at="conv1",
    ),
    "order of the statistics": Fault(
        file="model_store/layouts.py",
        sound='"running_mean", "running_var")',
        faulty='"running_var", "running_mean")',
        cause="weight layout",
        at="bn1",
    ),
    "statistics left at their start": Fault(
        file="model_store/layouts.py",
        sound='return [weights[f"{name}.{part}"] for part in parts]',
        faulty="""return [weights[f"{name}.weight"], weights[f"{name}.bias"],
            np.zeros_like(weights[f"{name}.bias"]), np.ones_like(weights[f"{name}.bias"])]""",
        cause="BatchNorm momentum or moving statistics",
        at="bn1",
    ),
    "padding": Fault(
        file="model_store/digits/keras_model.py",
        sound='keras.layers.Conv2D(32, 3, padding="same", name="conv2")(h)',
        faulty="""keras.layers.Conv2D(32, 3, name="conv2")(
            keras.layers.ZeroPadding2D(((2, 0), (2, 0)))(h))""",
        cause="padding",
        at="conv2",
    ),
    "softmax": Fault(
        file="model_store/digits/keras_model.py",
        sound='Dense(10, name="logits")',
        faulty='Dense(10, activation="softmax", name="logits")',
        cause="softmax vs logits",
        at="tensorflow",
    ),
    "order of the classes": Fault(
        file="model_store/digits/weights.py",
        sound='dense(weights, "logits"),',
        faulty='[array[..., ::-1] for array in dense(weights, "logits")],',
        cause="output order",
        at="[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]",
    ),
    "batch statistics": Fault(
        file="serving/export/tensorflow_steps.py",
        sound="outputs = model(inputs, training=False)",
        faulty="outputs = model(inputs, training=True)",
        cause="eval mode left off",
        at="tensorflow answers a row",
    ),
    "dropout": Fault(
        file="model_store/digits/keras_model.py",
        sound='h = keras.layers.Flatten(name="flatten")(h)',
        faulty="""h = keras.layers.Flatten(name="flatten")(h)
    h = keras.layers.Lambda(lambda x: __import__("tensorflow").nn.dropout(x, 0.2))(h)""",
        cause="eval mode left off",
        at="tensorflow answered the same ten samples",
    ),
    "dtype": Fault(
        file="model_store/digits/keras_model.py",
        sound='Dense(10, name="logits")',
        faulty='Dense(10, dtype="float64", name="logits")',
        cause="dtype",
        at="float64 from tensorflow",
    ),
}

TORCH_FAULTS = {
    "dropout": Fault(
        file="model_store/iris/torch_model.py",
        sound="relu1=nn.ReLU(),",
        faulty="relu1=type('Left', (nn.Dropout,), {'train': lambda self, mode: self})(0.2),",
        cause="eval mode left off",
        at="torch answered the same ten samples",
    ),
}


def overlay(fault: Fault, into: Path) -> Path:
    """A copy of the definitions and of the build, with the fault in it."""
    built = shutil.ignore_patterns("[0-9]*", ".build", "__pycache__")
    for package in (model_store, serving):
        source = Path(package.__path__[0])
        shutil.copytree(source, into / source.name, ignore=built)
    file = into / fault.file
    text = file.read_text(encoding="utf-8")
    assert text.count(fault.sound) == 1, f"{fault.file} has changed: put the fault in anew"
    file.write_text(text.replace(fault.sound, fault.faulty), encoding="utf-8")
    return into
