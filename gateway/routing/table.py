"""Which arm answers, and who shadows it? A frozen table, compiled when the configuration is loaded.

A request reads the table once, at its entry, and keeps what it got; a reload builds a new table aside and
swaps one reference. Nothing here waits, reads a clock or draws a random number.

Precedence: an arm named by the caller, then a version or label, then the split. A version or label
narrows the choice to the arms that serve it; if several do, the split decides among those. An arm that is
named beside a version or label must serve it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.errors import InvalidRequest, NotReady, UnknownLabel, UnknownModel, UnknownSignature
from gateway.messages import DEFAULT_SIGNATURE, ModelDescription, Target, VersionStatus
from gateway.routing.split import choose
from gateway.tensors import Signature
from gateway.values import value_class

__all__ = ["Arm", "Decision", "ModelRoutes", "RouteTable", "Shadow"]

Why: TypeAlias = Literal["split", "forced", "version", "label", "only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One weighted choice: a backend's version of the model.

    Attributes:
        name, model: The arm, and the model it belongs to.
        backend: The backend's name in the configuration.
        backend_model: The model's name at that backend.
        weight: Its share of the split, relative to the other arms.
        version: The configured version, else the one the backend serves; "" until it is known.
        description: What the backend says of that version; None until it has said it once.
        error: Why it cannot be asked now, for people: no description yet, or its backend is away.
        complaint: What of its model's configuration does not fit what its backend says; it is served without.
        told: What its backend says of the versions it has had, where it does, newest first.
    """

    name: str
    model: str
    backend: str
    backend_model: str
    weight: float
    version: str
    description: ModelDescription | None
    error: str = ""
    complaint: str = ""
    told: tuple[VersionStatus, ...] = ()

    @property
    def checks_itself(self) -> bool:
        """Whether its backend itself judges inputs that do not fit the signature."""
        return self.description is not None and self.description.checks_itself

    @property
    def is_ready(self) -> bool:
        """Whether its backend serves it now, as far as we know.

        An arm that was ready once keeps its place in the split while its backend is away: its requests
        fail and are counted as its own, and no unit changes its arm.
        """
        return self.description is not None and not self.error

    @property
    def has_ended(self) -> bool:
        """Whether its backend has let every version go, so that no waiting brings it back."""
        return self.description is None and {told.state for told in self.told} == {"END"}

    def signature(self, name: str) -> Signature:
        """The signature called `name`, or the default one for "".

        Raises:
            NotReady: the backend has not described this arm yet.
            UnknownSignature: it has no such signature.
        """
        if self.description is None:
            raise NotReady(f"arm {self.name} of model {self.model} is not ready: {self.error}")
        found = self.description.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise UnknownSignature(f'Serving signature name: "{name}" not found in signature def')
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """An arm that is asked too, for a sample of the requests that another arm answered."""

    arm: Arm
    sample_ratio: float


@value_class(kw_only=True)
class Decision:
    """The arm that answers, why it was chosen, and the arms to mirror to."""

    arm: Arm
    why: Why
    shadows: tuple[Shadow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRoutes:
    """One model's arms, labels, split and shadows."""

    name: str
    arms: Mapping[str, Arm]
    labels: Mapping[str, int] = field(default_factory=dict)
    unit_headers: tuple[str, ...] = ()
    salt: str = ""
    shadows: tuple[Shadow, ...] = ()
    _only: Decision | None = field(init=False, compare=False, repr=False)
    """The decision for every request that names nothing, where there is only one arm to choose."""

    def __post_init__(self) -> None:
        arms = list(self.arms.values())
        only = arms[0] if len(arms) == 1 and arms[0].weight > 0 else None
        ready = only is not None and only.description is not None
        decision = Decision(arm=only, why="only") if only is not None and ready else None
        object.__setattr__(self, "_only", decision)

    @property
    def has_no_choice(self) -> bool:
        """Whether every request that names no arm, version or label goes to the same arm."""
        return self._only is not None

    def decide(self, target: Target) -> Decision:
        """The decision for `target`; see the module's docstring for the precedence."""
        if self._only is not None and not (target.arm or target.version or target.label):
            return self._only
        arms, why = self._candidates(target)
        ready = [arm for arm in arms if arm.description is not None]
        if not ready:
            if all(arm.has_ended for arm in arms):
                raise UnknownModel(f"every version of model {self.name} has ended")
            raise NotReady(self._not_ready_text(arms))
        arm = self._pick(ready, target.unit)
        # One that its backend has not described cannot be asked, and must not be missed by anybody.
        shadows = tuple(
            shadow
            for shadow in self.shadows
            if shadow.arm.name != arm.name and shadow.arm.description is not None
        )
        return Decision(arm=arm, why=why, shadows=shadows)

    def _candidates(self, target: Target) -> tuple[list[Arm], Why]:
        if target.arm:
            return [self._fitting(self._named_arm(target.arm), target)], "forced"
        if target.label is not None:
            return self._with_version(self._labelled(target.label), target), "label"
        if target.version is not None:
            return self._with_version(target.version, target), "version"
        return [arm for arm in self.arms.values() if arm.weight > 0], "split"

    def _named_arm(self, name: str) -> Arm:
        arm = self.arms.get(name)
        if arm is None:
            known = ", ".join(sorted(self.arms))
            raise InvalidRequest(f"got arm {name!r}, model {self.name} has arms: {known}")
        return arm

    def _fitting(self, arm: Arm, target: Target) -> Arm:
        """The named arm, if it serves the version or label that is asked for beside it."""
        version = target.version if target.label is None else self._labelled(target.label)
        if version not in (None, arm.version) and arm.description is not None:
            raise UnknownModel(
                f"got version {version} of model {target.model} and arm {arm.name},"
                f" which serves version {arm.version or 'none yet'}"
            )
        return arm

    def _labelled(self, label: str) -> str:
        version = self.labels.get(label)
        if version is None:
            raise UnknownLabel(f"Unrecognized servable version label: {label}")
        return str(version)

    def _with_version(self, version: str, target: Target) -> list[Arm]:
        found = [arm for arm in self.arms.values() if arm.version == version]
        if not found:
            known = ", ".join(sorted({arm.version for arm in self.arms.values() if arm.version}))
            served = known or "none is known: its servers tell none, or were not reached yet"
            raise UnknownModel(
                f"got version {version} of model {target.model}, versions served: {served}"
            )
        return found

    def _pick(self, arms: list[Arm], unit: str) -> Arm:
        if len(arms) == 1:
            return arms[0]
        by_name = {arm.name: arm for arm in arms}
        weights = {arm.name: arm.weight for arm in arms}
        if not any(weights.values()):  # a pinned version whose arms take no part in the split
            weights = dict.fromkeys(weights, 1.0)
        return by_name[choose(weights, unit, self.salt or self.name)]

    def _not_ready_text(self, arms: list[Arm]) -> str:
        causes = "; ".join(f"arm {arm.name}: {arm.error or 'not described yet'}" for arm in arms)
        return f"model {self.name} is not ready: {causes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """Every model that is served here."""

    models: Mapping[str, ModelRoutes] = field(default_factory=dict)

    def model(self, name: str) -> ModelRoutes:
        """The routes of one model.

        Raises:
            UnknownModel: the caller's fault; names the models that are served.
        """
        found = self.models.get(name)
        if found is None:
            known = ", ".join(sorted(self.models)) or "none"
            raise UnknownModel(f"got model {name!r}, models served: {known}")
        return found

    def resolve(self, target: Target) -> Decision:
        """The arm for `target` and its shadows.

        Raises:
            UnknownModel, UnknownLabel, InvalidRequest: the caller's fault; the first also for a model that
                its backends have let go.
            NotReady: no arm that could answer has been described by its backend.
        """
        if target.label is not None and target.model not in self.models:
            # TF Serving looks up the label first.
            raise UnknownLabel(f"Unrecognized servable version label: {target.label}")
        return self.model(target.model).decide(target)
