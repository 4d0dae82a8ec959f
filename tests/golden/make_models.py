"""Which models was the real TensorFlow Serving asked about, and how are their like built?

    .venv-tf/bin/python -m tests.golden.make_models .tandem/golden_models

Builds every model of the record anew, but for `mlp`, whose trained weights are kept in the record. Names
of inputs, outputs, signatures and, where an error quotes them, of nodes are those of the models that were
asked; nothing else needs to be the same. A directory that is up to date is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from tests.golden import graphs, modules

HERE = Path(__file__).parent
STAMP = "made_from.sha256"
_SOURCES = ("make_models", "graphs", "modules")


def main() -> None:
    """Build into the directory named on the command line, unless it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make_models")
    parser.add_argument("target", type=Path, help="where the models go, one directory each")
    target: Path = parser.parse_args().target
    sources = b"".join((HERE / f"{name}.py").read_bytes() for name in _SOURCES)
    stamp = hashlib.sha256(sources + tf.__version__.encode()).hexdigest()
    if (target / STAMP).exists() and (target / STAMP).read_text() == stamp:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent))
    for name, build in _MODELS.items():
        build(aside / name)
    (aside / STAMP).write_text(stamp)
    if target.exists():
        shutil.rmtree(target)
    aside.rename(target)


def _mlp(model: Path) -> None:
    shutil.copytree(HERE / "tf_serving" / "models" / "mlp", model)


_MODELS: Mapping[str, Callable[[Path], None]] = {
    "counter": graphs.counter,
    "est": graphs.examples,
    "half_plus_three": graphs.half_plus_three,
    "half_plus_two": graphs.half_plus_two,
    "half_plus_two_2_versions": graphs.half_plus_two_2_versions,
    "half_plus_two_tf2": modules.half_plus_two_tf2,
    "mlp": _mlp,
    "named": modules.named,
    "types": modules.types,
}


if __name__ == "__main__":
    main()
