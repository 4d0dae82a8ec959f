"""The steps that need torch: train, export, predict with the export, look into the layers.

`serving.export.build` runs each in the torch environment, as a process of its own:

    python -m serving.export.torch_steps MODEL WORK train|export|predict|layers … [--device cpu|cuda]

The recipe of the export avoids four silent traps of AOTInductor, each of them met:
- an example batch of under 16 rows bakes a hidden bound on the rows into a convolution's package;
- with input checks on (`AOTI_RUNTIME_CHECK_INPUTS=1`), the lower bound refuses one row even for
  `Dim(min=1)`, so it is left out, and the server checks the rows itself;
- `freezing` gave wrong numbers for a convolution, so it stays off;
- the default compiles for this very processor; `x86-64-v3` (AVX2) is as fast and runs on others too.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import importlib
import platform
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import nn
from torch._inductor import aoti_compile_and_package
from torch.utils import _pytree as pytree

from gateway.tensors import Array
from model_store.definition import Dataset, Definition, find
from model_store.held_out import HeldOut
from model_store.records import Artifact, DataRecord
from serving.export import cases
from serving.export.training import train
from serving.export.work import Work, read_record, write_record

Device: TypeAlias = Literal["cpu", "cuda"]
Options: TypeAlias = dict[str, str | int | float | bool]

_EXPECTED_ROWS = 32
_IMAGE_RANK = 4
_EXAMPLE_LENGTH = 40  # any but EXAMPLE_ROWS: equal sizes would be taken for one dimension


def run_train(definition: Definition, work: Work) -> None:
    """Make the weights, the test set with its expected answers, and the record of the data."""
    dataset: Dataset = _module(definition, "data").load()
    model: nn.Module = _module(definition, "torch_model").build()
    if definition.recipe is not None and dataset.train is not None:
        train(model, dataset.train, definition.recipe)
    np.savez(work.weights, **{name: value.numpy() for name, value in model.state_dict().items()})
    held_out = _held_out(definition, dataset)
    held_out = _with_expected(definition, held_out, model.eval())
    held_out.save(work.test_set)
    write_record(work.data, _data_record(dataset))


def run_export(definition: Definition, work: Work, device: Device = "cpu") -> None:
    """Write `model.pt2`, whose dynamic dimensions have the bounds of the signature."""
    model = _trained(definition, work).to(device)
    held_out = HeldOut.load(work.test_set)
    rows = np.arange(cases.EXAMPLE_ROWS) % held_out.rows
    example = _tensors(definition, held_out.take(rows, length=_EXAMPLE_LENGTH), device)
    options = _options(device)
    with torch.no_grad():
        program = torch.export.export(model, example, dynamic_shapes=_dynamic_shapes(definition))
        aoti_compile_and_package(
            program, package_path=str(work.model_pt2), inductor_configs=dict(options)
        )
    record = Artifact(
        platform="pytorch_aotinductor",
        framework_version=torch.__version__,
        entry=work.model_pt2.name,
        device=device,
        files={},
        options={**options, "example_rows": cases.EXAMPLE_ROWS, "machine": platform.machine()},
    )
    write_record(work.artifact("torch"), record)


def run_predict(definition: Definition, work: Work) -> None:
    """Answer every case with the package, loaded and called as the torch server does it."""
    device = read_record(Artifact, work.artifact("torch")).device
    # The server's own way to load: path, name of the model in it, single-threaded, runners, device.
    loader = torch._C._aoti.AOTIModelPackageLoader(  # noqa: SLF001  # there is no public one
        str(work.model_pt2), *("model", False, 1, 0 if device == "cuda" else -1)
    )
    names = [entry.name for entry in definition.signature.outputs]

    def answer(inputs: cases.Tensors) -> cases.Tensors:
        with torch.inference_mode():
            outputs = loader.run(list(_tensors(definition, inputs, device)))
        return {name: out.cpu().numpy() for name, out in zip(names, outputs, strict=True)}

    cases.answer_all(work.cases, work.outputs("torch"), answer)


def run_layers(definition: Definition, work: Work) -> None:
    """Run the definition eagerly on the ten samples and keep what every named module gave.

    Images are turned from `[rows, channels, y, x]` to `[rows, y, x, channels]`, as Keras has them.
    """
    model = _trained(definition, work)
    seen: dict[str, Array] = {}
    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(_keep(seen, name))
    samples = cases.load_tensors(work.cases)[f"{cases.SAMPLES}#0"]
    with torch.inference_mode():
        model(*_tensors(definition, samples, "cpu"))
    cases.save_tensors(work.layers("torch"), {"layers": seen})


def _module(definition: Definition, name: str) -> ModuleType:
    return importlib.import_module(f"model_store.{definition.name}.{name}")


def _trained(definition: Definition, work: Work) -> nn.Module:
    model: nn.Module = _module(definition, "torch_model").build()
    with np.load(work.weights, allow_pickle=False) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    return model.eval()


def _tensors(
    definition: Definition, inputs: cases.Tensors, device: str
) -> tuple[torch.Tensor, ...]:
    names = [entry.name for entry in definition.signature.inputs]
    return tuple(torch.from_numpy(inputs[name]).to(device) for name in names)


def _held_out(definition: Definition, dataset: Dataset) -> HeldOut:
    ragged = [entry.name for entry in definition.signature.inputs if len(entry.dynamic) > 1]
    return HeldOut(
        inputs=dataset.test.inputs,
        labels=dataset.test.labels,
        label_names=dataset.label_names,
        expected={},
        decision=definition.decision,
        decision_output=definition.decision_output,
        ragged=tuple(ragged),
        lengths=dataset.test.lengths,
        texts=dataset.test.texts,
    )


def _with_expected(definition: Definition, held_out: HeldOut, model: nn.Module) -> HeldOut:
    exact = copy.deepcopy(model).double()
    names = [entry.name for entry in definition.signature.outputs]
    expected: dict[str, Array] = {}
    for batch in held_out.batches(_EXPECTED_ROWS):
        inputs = _tensors(definition, held_out.take(batch), "cpu")
        doubled = [x.double() if x.is_floating_point() else x for x in inputs]
        with torch.inference_mode():
            outputs = pytree.tree_leaves(exact(*doubled))
        for name, out in zip(names, outputs, strict=True):
            rows = expected.setdefault(
                name, np.zeros((held_out.rows, *out.shape[1:]), dtype=np.float32)
            )
            rows[batch] = out.float().numpy()
    return dataclasses.replace(held_out, expected=expected)


def _data_record(dataset: Dataset) -> DataRecord:
    digest = hashlib.sha256()
    for rows in (dataset.train, dataset.test):
        for array in (*rows.inputs.values(), rows.labels) if rows is not None else ():
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return DataRecord(
        name=dataset.name,
        source=dataset.source,
        license=dataset.license,
        sha256=digest.hexdigest(),
        rows_train=0 if dataset.train is None else len(dataset.train.labels),
        rows_test=len(dataset.test.labels),
    )


def _dynamic_shapes(definition: Definition) -> list[dict[int, torch.export.Dim]]:
    dims = {
        name: torch.export.Dim(name, min=low, max=high)
        for name, (low, high) in cases.dynamic_sizes(definition).items()
    }
    return [
        {dim.axis: dims[dim.name] for dim in entry.dynamic} for entry in definition.signature.inputs
    ]


def _options(device: Device) -> Options:
    options: Options = {"aot_inductor.check_lowerbound": False}
    if device == "cpu" and platform.machine() == "x86_64":
        options |= {"cpp.simdlen": 256, "cpp.march": "x86-64-v3"}
    return options


def _keep(seen: dict[str, Array], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        first = pytree.tree_leaves(output)[:1]
        if first and isinstance(first[0], torch.Tensor):
            array = first[0].numpy().copy()
            seen[name] = np.moveaxis(array, 1, -1) if array.ndim == _IMAGE_RANK else array

    return hook


def main() -> None:
    """Run the steps named, in that order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("steps", nargs="+", choices=("train", "export", "predict", "layers"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    definition, work = find(args.model), Work(args.work)
    steps: dict[str, Callable[[], None]] = {
        "train": lambda: run_train(definition, work),
        "export": lambda: run_export(definition, work, args.device),
        "predict": lambda: run_predict(definition, work),
        "layers": lambda: run_layers(definition, work),
    }
    for step in args.steps:
        steps[step]()


if __name__ == "__main__":
    main()
