"""What does it take to get a model into the store? Train, export twice, pass the gate, publish.

`build` is the story; `steps.py` has the steps, and each that needs a framework is a process in that
framework's environment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_store.definition import Definition
from model_store.manifest import Manifest, ManifestError, verify, versions
from model_store.publish import build_folder, publish_next
from serving.export.assemble import assemble
from serving.export.causes import Cause
from serving.export.environments import Environments, StepFailed
from serving.export.fingerprint import fingerprint, probe_environments
from serving.export.gate import FRAMEWORKS, Verdict
from serving.export.steps import Steps
from serving.export.work import Work

__all__ = ["Outcome", "build"]

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the build of one model ended.

    Attributes:
        status: `built` and `unchanged` leave a manifest; `refused` a verdict and its likely causes.
    """

    model: str
    status: Literal["built", "unchanged", "refused"]
    manifest: Manifest | None = None
    verdict: Verdict | None = None
    causes: tuple[Cause, ...] = ()


def build(
    definition: Definition,
    environments: Environments,
    store: Path,
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    progress: Progress,
) -> Outcome:
    """Publish the next version of the model, unless the newest is made of the same things.

    Args:
        definition: The model's.
        environments: Where the steps run.
        store: The model store; versions go to `<store>/<model>/`.
        device: What the torch export is compiled for.
        progress: Is told what happens now.

    Raises:
        StepFailed: a step ended with an error.
    """
    name = definition.name
    wanted = fingerprint(definition, probe_environments(definition, environments), device)
    current = _current(store, name, wanted, progress)
    if current is not None:
        return Outcome(model=name, status="unchanged", manifest=current)
    with build_folder(store, name) as folder:
        steps = Steps(definition, environments, Work(folder))
        progress(f"{name}: training")
        steps.train()
        progress(f"{name}: exporting for torch and tensorflow")
        steps.export(device=device)
        progress(f"{name}: checking that both exports agree")
        steps.ask()
        verdict = steps.judge()
        if not verdict.passed:
            progress(f"{name}: they do not; looking for the cause")
            causes = _causes(steps, progress)
            return Outcome(model=name, status="refused", verdict=verdict, causes=causes)
        manifest = assemble(definition, steps.work, verdict, wanted)
        published = publish_next(steps.work.version, store, manifest)
        return Outcome(model=name, status="built", manifest=published)


def _causes(steps: Steps, progress: Progress) -> tuple[Cause, ...]:
    """The likely causes of a refusal; none, and a word about it, where the layers cannot be run."""
    try:
        steps.look_inside()
    except StepFailed as exc:
        progress(str(exc))
        return ()
    return steps.find_causes()


def _current(store: Path, model: str, wanted: str, progress: Progress) -> Manifest | None:
    """The manifest of the newest version, if it has this fingerprint and is undamaged."""
    newest = max(versions(store, model), default=None)
    if newest is None:
        return None
    version_dir = store / model / str(newest)
    try:
        manifest = Manifest.load(version_dir)
        if manifest.fingerprint != wanted:
            return None
        for framework in FRAMEWORKS:
            verify(version_dir, framework)
    except ManifestError as exc:
        progress(f"{model}: version {newest} is damaged, another is built: {exc}")
        return None
    return manifest
