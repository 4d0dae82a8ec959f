"""What does it take to get a model into the store? Train, export twice, pass the gate, publish.

`build` is the story; each step that needs a framework is a process in that framework's environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from model_store.definition import Definition
from model_store.held_out import HeldOut
from model_store.manifest import Manifest, ManifestError, verify, versions
from model_store.publish import build_folder, publish_next
from model_store.records import Framework
from serving.export import cases
from serving.export.assemble import assemble
from serving.export.causes import Cause, Evidence, likely_causes
from serving.export.environments import Environments, Step, run_steps
from serving.export.fingerprint import fingerprint, probe_environments
from serving.export.gate import FRAMEWORKS, Answers, Verdict, judge
from serving.export.layers import Layers
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
        steps.export(device)
        progress(f"{name}: checking that both exports agree")
        verdict = steps.ask_both()
        if not verdict.passed:
            progress(f"{name}: they do not; looking for the cause")
            causes = steps.find_causes()
            return Outcome(model=name, status="refused", verdict=verdict, causes=causes)
        manifest = assemble(definition, steps.work, verdict, wanted)
        published = publish_next(steps.work.version, store, manifest)
        return Outcome(model=name, status="built", manifest=published)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one build, in order; each leaves what the next needs in `work`.

    Every method raises StepFailed when a process ended with an error.
    """

    definition: Definition
    environments: Environments
    work: Work

    def train(self) -> None:
        """Make the weights and the test set."""
        self.work.version.mkdir()
        self._run("train", ("torch",))

    def export(
        self,
        device: Literal["cpu", "cuda"] = "cpu",
        frameworks: tuple[Framework, ...] = FRAMEWORKS,
    ) -> None:
        """Export the weights."""
        self._run("export", frameworks, {"torch": ("--device", device)})

    def ask_both(self) -> Verdict:
        """Ask both exports the same, in the environments that will serve them, and judge."""
        held_out = HeldOut.load(self.work.test_set)
        asked = cases.make_cases(self.definition, held_out)
        cases.save_tensors(self.work.cases, cases.inputs_of(asked))
        self._run("predict", FRAMEWORKS)
        return judge(self.definition, held_out, asked, self._answers())

    def find_causes(self) -> tuple[Cause, ...]:
        """Look into the layers of both definitions, and say why `ask_both` failed."""
        self._run("layers", FRAMEWORKS)
        layers = {name: cases.load_tensors(self.work.layers(name)) for name in FRAMEWORKS}
        with np.load(self.work.weights, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays}
        held_out = HeldOut.load(self.work.test_set)
        asked = cases.make_cases(self.definition, held_out)
        (samples,) = (case for case in asked if case.check == cases.SAMPLES)
        lengths = held_out.lengths
        evidence = Evidence(
            definition=self.definition,
            held_out=held_out,
            cases=asked,
            answers=self._answers(),
            layers=Layers(
                torch=layers["torch"]["layers"],
                keras=layers["tensorflow"]["layers"],
                torch_weights=weights,
                keras_weights=layers["tensorflow"].get("weights", {}),
                inputs=samples.inputs,
                real_lengths=None if lengths is None else lengths[samples.rows],
            ),
        )
        return likely_causes(evidence)

    def _answers(self) -> Answers:
        return {name: cases.load_tensors(self.work.outputs(name)) for name in FRAMEWORKS}

    def _run(
        self,
        step: str,
        frameworks: tuple[Framework, ...],
        extra: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        fixed = (step, self.definition.name, str(self.work.root))
        run_steps(
            self.environments,
            [
                Step(
                    framework=framework,
                    arguments=(*fixed, *(extra or {}).get(framework, ())),
                    log=self.work.log(f"{framework}-{step}"),
                )
                for framework in frameworks
            ],
        )


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
