"""Has anything changed that a build is made of? One sha256 over all of it, known without a framework.

In it: the code of the definition and of the steps (comments, docstrings and formatting apart), the versions of
the frameworks, the data files, the machine and the device. A second build with the same fingerprint has
nothing to do.
"""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from pathlib import Path
from typing import cast

import model_store
from model_store.definition import Definition
from serving.export import probe
from serving.export.environments import Environments, StepFailed

__all__ = ["MODULES", "NEUTRAL_MODULES", "fingerprint", "probe_environments"]

# Modules of this package whose code decides what is in a version directory …
MODULES = (
    "assemble",
    "cases",
    "gate",
    "parity",
    "tensorflow_steps",
    "torch_steps",
    "training",
    "work",
)
# … and those that only run the steps or tell about them. A test holds that each module is in one of these.
NEUTRAL_MODULES = (
    "__main__", "build", "causes", "environments", "fingerprint", "layers", "probe",
    "report", "steps",
)  # fmt: skip

_STORE_MODULES = ("definition", "held_out", "layouts", "manifest", "records")
_TORCH_DISTRIBUTIONS = ("torch", "transformers", "scikit-learn", "numpy")
_TENSORFLOW_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
_PROBE_TIMEOUT_S = 60.0
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def fingerprint(definition: Definition, environments: dict[str, object], device: str) -> str:
    """64 hex digits over everything that decides the build of this model.

    Args:
        definition: The model's.
        environments: What `probe_environments` found.
        device: What the torch export is compiled for.
    """
    store, export = Path(model_store.__path__[0]), Path(__file__).parent
    paths = [
        *sorted((store / definition.name).glob("*.py")),
        *(store / f"{name}.py" for name in _STORE_MODULES),
        *(export / f"{name}.py" for name in MODULES),
    ]
    parts = {
        "code": {
            f"{path.parent.name}/{path.name}": code_digest(path.read_text("utf-8"))
            for path in paths
        },
        "environments": environments,
        "device": device,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def probe_environments(definition: Definition, environments: Environments) -> dict[str, object]:
    """What both environments hold that matters to this model.

    Raises:
        StepFailed: an interpreter is missing or does not answer, or a data file is missing.
    """
    files = [[source.distribution, source.path] for source in definition.sources]
    torch = _probe(environments.torch, {"distributions": _TORCH_DISTRIBUTIONS, "files": files})
    tensorflow = _probe(
        environments.tensorflow, {"distributions": _TENSORFLOW_DISTRIBUTIONS, "files": []}
    )
    for name, digest in cast("dict[str, str | None]", torch["files"]).items():
        if digest is None:
            raise StepFailed(f"{definition.name}: {environments.torch} has no file {name}")
    return {"torch": torch, "tensorflow": tensorflow}


def code_digest(source: str) -> str:
    """The sha256 of what the code does: comments, docstrings and formatting do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _probe(python: Path, question: object) -> dict[str, object]:
    try:
        answer = subprocess.run(
            [str(python), "-I", probe.__file__, json.dumps(question)],
            capture_output=True,
            check=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except OSError as exc:
        raise StepFailed(f"{python}: {exc.strerror}; `make setup` makes the environments") from exc
    except subprocess.SubprocessError as exc:
        raise StepFailed(f"{python}: does not say what it holds: {exc}") from exc
    return cast("dict[str, object]", json.loads(answer.stdout))
