"""How is a build started from the command line?

Standard output gets one line per model (or one JSON object with `--json`), standard error the progress.
Exit status: 0 all published or unchanged, 1 a model was refused by the gate, 2 a usage error, 3 a step failed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

import model_store
from model_store.definition import find, known_models
from model_store.publish import build_folder
from serving.export.build import Outcome, build
from serving.export.environments import Environments, StepFailed
from serving.export.report import as_json, describe, summary

_STORE = Path(model_store.__path__[0])
_ROOT = _STORE.parent


def main() -> int:
    """Build the models named, all by default."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _ended)
    try:
        return _build_all(arguments)
    except StepFailed as exc:
        print(exc, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def _build_all(arguments: argparse.Namespace) -> int:
    outcomes: list[Outcome] = []
    with build_folder(arguments.store, "cache") as cache:
        environments = Environments(
            torch=arguments.torch_python, tensorflow=arguments.tf_python, cache=cache
        )
        for model in arguments.models or known_models():
            outcome = build(
                find(model),
                environments,
                arguments.store,
                device=arguments.device,
                progress=_progress,
            )
            outcomes.append(outcome)
            if not arguments.json:
                _tell(outcome)
    if arguments.json:
        print(json.dumps([as_json(find(one.model), one) for one in outcomes], indent=1))
    return 1 if any(outcome.status == "refused" for outcome in outcomes) else 0


def _tell(outcome: Outcome) -> None:
    print(summary(outcome), flush=True)
    for line in describe(find(outcome.model), outcome):
        print(f"  {line}", flush=True)


def _progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _ended(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # as Ctrl-C: the steps and the scratch folders go too


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.export", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("build", help="build models that changed, and publish them")
    command.add_argument(
        "models", nargs="*", metavar="MODEL", help=f"of {', '.join(known_models())}; default: all"
    )
    command.add_argument("--store", type=Path, default=_STORE, help="default: %(default)s")
    for name in ("torch", "tf"):
        command.add_argument(
            f"--{name}-python",
            type=Path,
            default=_ROOT / f".venv-{name}" / "bin" / "python",
            help="default: %(default)s",
        )
    command.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="of the torch export"
    )
    command.add_argument("--json", action="store_true", help="one JSON list on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
