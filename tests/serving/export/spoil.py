"""Run the steps of many copies of the definitions in one process, because a framework is slow to import.

    python spoil.py tensorflow COPY WORK [COPY WORK …]

Not a test: `test_faults` starts it in the environment of the framework. What goes wrong with a copy is
written to `<work>/error.txt`, and the next one has its turn.
"""

import importlib
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Export, answer and look inside, for every copy."""
    framework, *pairs = sys.argv[1:]
    for copy, work in zip(pairs[::2], pairs[1::2], strict=True):
        sys.path[0] = copy
        for name in [
            name for name in sys.modules if name.split(".")[0] in ("model_store", "serving")
        ]:
            del sys.modules[name]
        try:
            run(framework, Path(work))
        except Exception:  # noqa: BLE001  # the test of this copy tells it
            (Path(work) / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")


def run(framework: str, work: Path) -> None:
    """The three steps of one copy."""
    steps = importlib.import_module(f"serving.export.{framework}_steps")
    arguments = (steps.find(work.name), steps.Work(work))
    steps.run_export(*arguments)
    steps.run_predict(*arguments)
    steps.run_layers(*arguments)


if __name__ == "__main__":
    main()
