"""How does Triton say what went wrong, where its clients may look for its words?

They stand first, and behind them our own text, which names the place, what was got and what was wanted.
"""

from __future__ import annotations

from gateway.errors import GatewayError, UnknownModel
from gateway.messages import Target
from gateway.misfits import DoesNotFit, Misfit

__all__ = ["oip_text"]


def oip_text(error: GatewayError, target: Target | None) -> str:
    """The error's text on the Open Inference Protocol."""
    if isinstance(error, DoesNotFit):
        model = error.misfit.model or ("" if target is None else target.model)
        return f"{_misfit_text(error.misfit, model)}; {error}"
    if type(error) is UnknownModel and target is not None:
        version = "" if target.version is None else f" version {target.version}"
        return f"Request for unknown model: '{target.model}'{version} is not found; {error}"
    return str(error)


def _misfit_text(misfit: Misfit, model: str) -> str:
    name = misfit.name
    match misfit.aspect:
        case "inputs":
            return _inputs_text(misfit, model)
        case "repeated":
            return f"input '{name}' already exists in request"
        case "datatype":
            got, wanted = misfit.got[0], misfit.wanted[0]
            return f"inference input '{name}' data-type is '{got}', but model '{model}' expects '{wanted}'"
        case "shape":
            got, wanted = _listed(misfit.got), _listed(misfit.wanted)
            return f"unexpected shape for input '{name}' for model '{model}'. Expected {wanted}, got {got}"
        case "rows":
            return f"input '{name}' batch size does not match other inputs for '{model}'"
        case "output":
            return f"unexpected inference output '{name}' for model '{model}'"


def _inputs_text(misfit: Misfit, model: str) -> str:
    got, wanted = misfit.got, misfit.wanted
    if len(got) == len(wanted):
        unknown = next(name for name in got if name not in wanted)
        return f"unexpected inference input '{unknown}' for model '{model}'"
    text = f"expected {len(wanted)} inputs but got {len(got)} inputs for model '{model}'"
    missing = tuple(name for name in wanted if name not in got)
    if not missing:
        return text
    return (
        f"{text}. Got input(s) {_quoted(got)}, but missing required input(s) {_quoted(missing)}."
        " Please provide all required input(s)."
    )


def _listed(dims: tuple[str | int, ...]) -> str:
    return f"[{','.join(map(str, dims))}]"


def _quoted(names: tuple[str | int, ...]) -> str:
    return _listed(tuple([f"'{name}'" for name in names]))
