"""Which steps turn a definition into something to publish, and what does each leave for the next?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model_store.definition import Definition
from model_store.held_out import HeldOut
from model_store.records import Framework
from serving.export import cases
from serving.export.causes import Cause, Evidence, likely_causes
from serving.export.environments import Environments, Step, run_steps
from serving.export.gate import FRAMEWORKS, Answers, Verdict, judge
from serving.export.layers import Layers
from serving.export.work import Work

__all__ = ["Steps"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one build of one model, in the order of the methods.

    Where frameworks can be named, their processes run at the same time. All raise StepFailed when a process
    ends with an error.
    """

    definition: Definition
    environments: Environments
    work: Work

    def train(self) -> None:
        """Make the weights, the test set and the gate's questions."""
        self.work.version.mkdir()
        self._run("train", ("torch",))
        cases.save_tensors(self.work.cases, cases.inputs_of(self._cases()))

    def export(
        self,
        frameworks: tuple[Framework, ...] = FRAMEWORKS,
        *,
        device: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        """Export the weights."""
        self._run("export", frameworks, {"torch": ("--device", device)})

    def ask(self, frameworks: tuple[Framework, ...] = FRAMEWORKS) -> None:
        """Load the exports anew, as they will be served, and have them answer."""
        self._run("predict", frameworks)

    def judge(self) -> Verdict:
        """Compare what both exports answered."""
        return judge(self.definition, self._held_out(), self._cases(), self._answers())

    def look_inside(self, frameworks: tuple[Framework, ...] = FRAMEWORKS) -> None:
        """Run the definitions, and keep what each layer gives."""
        self._run("layers", frameworks)

    def find_causes(self) -> tuple[Cause, ...]:
        """Say why `judge` refused, from the answers and the layers."""
        torch, tensorflow = (cases.load_tensors(self.work.layers(name)) for name in FRAMEWORKS)
        held_out, asked = self._held_out(), self._cases()
        (samples,) = (case for case in asked if case.check == cases.SAMPLES)
        with np.load(self.work.weights, allow_pickle=False) as weights:
            layers = Layers(
                torch=torch["layers"],
                keras=tensorflow["layers"],
                torch_weights=dict(weights),
                keras_weights=tensorflow["weights"],
                inputs=samples.inputs,
                real_lengths=None if held_out.lengths is None else held_out.lengths[samples.rows],
            )
        return likely_causes(
            Evidence(
                definition=self.definition,
                held_out=held_out,
                cases=asked,
                answers=self._answers(),
                layers=layers,
            )
        )

    def _held_out(self) -> HeldOut:
        return HeldOut.load(self.work.test_set)

    def _cases(self) -> tuple[cases.Case, ...]:
        return cases.make_cases(self.definition, self._held_out())

    def _answers(self) -> Answers:
        return {name: cases.load_tensors(self.work.outputs(name)) for name in FRAMEWORKS}

    def _run(
        self,
        step: str,
        frameworks: tuple[Framework, ...],
        extra: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        name = self.definition.name
        run_steps(
            self.environments,
            [
                Step(
                    name=f"{step} {name} for {framework}",
                    framework=framework,
                    arguments=(name, str(self.work.root), step, *(extra or {}).get(framework, ())),
                    log=self.work.log(f"{framework}-{step}"),
                )
                for framework in frameworks
            ],
        )
