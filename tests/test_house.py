"""Does the repository keep its own rules? The ones that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import gateway
from gateway import config, errors
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.workers import WorkerMetrics

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "serving", "model_store", "loadtests", "tests")
GATEWAY_MANUAL = ROOT / "gateway" / "README.md"
LOCKS = {
    "gateway/requirements.lock": "gateway",
    "tests/requirements.lock": "dev",
    "serving/torch_server/requirements.lock": "torch",
    "serving/torch_server/requirements.gpu.lock": "torch",
    "serving/tf_serving/requirements.lock": "tensorflow",
}
TABLE_ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)


def committed_files() -> list[Path]:
    """Every file git knows or would add, that is still there."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = {ROOT / name for name in listing.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def our_modules() -> list[Path]:
    """Python that people wrote: everything but generated stubs."""
    return [
        path
        for path in committed_files()
        if path.suffix == ".py" and "_pb2" not in path.name and path.parts[-2] != ".ci"
    ]


def text_of(path: Path) -> str | None:
    """The file's text, None when it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def table_rows(manual: Path, heading: str) -> dict[str, str]:
    """First cells (in backquotes) to the rest of their rows, of the tables under one `## heading`."""
    sections = re.split(r"^## ", manual.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for section in sections:
        if section.split("\n", 1)[0].strip().lower() == heading:
            return {match[1]: match[2] for match in TABLE_ROW.finditer(section)}
    pytest.fail(f"{manual.relative_to(ROOT)} has no section '## {heading.capitalize()}'")


# -- documented ---------------------------------------------------------------------------------


def settings_of(values: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every setting as it is written in the manual, `models.NAME.arms.NAME.weight`, and its default."""
    hints = typing.get_type_hints(values)
    for field in fields(values):
        place, nested = f"{prefix}{field.name}", _nested(hints[field.name])
        if nested is None:
            yield place, field.default if field.default_factory is MISSING else MISSING
        else:
            suffix, inner = nested
            yield from settings_of(inner, f"{place}{suffix}.")


def _nested(hint: object) -> tuple[str, type] | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return "", hint
    inner = [a for a in typing.get_args(hint) if isinstance(a, type) and is_dataclass(a)]
    if not inner or isinstance(hint, types.UnionType):
        return None
    return "[]" if typing.get_origin(hint) is tuple else ".NAME", inner[0]


def test_every_setting_is_in_the_manual() -> None:
    documented = set(table_rows(GATEWAY_MANUAL, "settings"))
    assert documented == {place for place, _ in settings_of(config.Config)}


def test_the_manual_gives_the_defaults_that_hold() -> None:
    rows = table_rows(GATEWAY_MANUAL, "settings")
    wrong = []
    for place, default in settings_of(config.Config):
        if isinstance(default, str | int | float):
            written = f'"{default}"' if isinstance(default, str) else str(default)
            written = written.lower() if isinstance(default, bool) else written
            if f"`{written}`" not in rows.get(place, "").split("|")[0]:
                wrong.append(f"{place}: default is {written}")
    assert not wrong


def test_every_metric_is_in_the_manual() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    Metrics(registries[0], version="0")
    WorkerMetrics(registries[1], 1)  # a supervisor's, some of which go by the same names
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for registry in registries
        for family in registry.collect()
        if family.name.startswith("tandem_")
    }
    assert set(table_rows(GATEWAY_MANUAL, "metrics")) == names


def test_every_error_is_in_the_manual_with_its_codes() -> None:
    rows = table_rows(GATEWAY_MANUAL, "errors")
    kinds = [getattr(errors, name) for name in errors.__all__]
    abstract = {errors.CallerError, errors.GatewayBusy, errors.BackendError}
    seen = [kind for kind in kinds if kind not in abstract]
    assert set(rows) == {kind.reason for kind in seen}
    for kind in seen:
        assert str(kind.http_status) in rows[kind.reason], kind.reason
        assert kind.grpc_code in rows[kind.reason], kind.reason


def declared() -> dict[str, list[str]]:
    """Group of dependencies (`gateway` for the project's own) to distribution names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    lines: dict[str, list[str]] = {
        "gateway": project["project"]["dependencies"],
        "build": project["build-system"]["requires"],
        **project["project"]["optional-dependencies"],
    }
    for name, group in groups.items():
        lines[name] = [line for line in group if isinstance(line, str)]
        for included in (line["include-group"] for line in group if isinstance(line, dict)):
            lines[name] += groups[included]
    lines["dev"] += lines["gateway"]
    return {name: [_distribution(line) for line in group] for name, group in lines.items()}


def _distribution(requirement: str) -> str:
    return re.split(r"[\s\[=<>~!;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_every_dependency_has_its_reason_in_contributing() -> None:
    reasons = TABLE_ROW.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {name for name, _ in reasons} == set().union(*map(set, declared().values()))
    assert all(len(reason.strip()) > 10 for _, reason in reasons)


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## \[?([0-9][^\]\s]*)", changelog, re.MULTILINE)
    assert heading is not None
    assert heading[1] == gateway.__version__


# -- dependencies -------------------------------------------------------------------------------


@pytest.mark.parametrize(("lock", "group"), LOCKS.items())
def test_locks_pin_and_hash_everything_that_is_declared(lock: str, group: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert all(re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    pinned = {line.split("==")[0] for line in lines}
    assert set(declared()[group]) <= pinned


def test_the_gateway_ships_what_was_tested() -> None:
    pins = re.compile(r"^[a-z0-9.-]+==\S+", re.MULTILINE)
    shipped = pins.findall((ROOT / "gateway/requirements.lock").read_text(encoding="utf-8"))
    tested = pins.findall((ROOT / "tests/requirements.lock").read_text(encoding="utf-8"))
    assert set(shipped) <= set(tested)


def test_the_gateway_imports_only_what_it_declares() -> None:
    known = packages_distributions()
    allowed = set(declared()["gateway"] + declared()["envoy"])
    undeclared = []
    for path in our_modules():
        if path.relative_to(ROOT).parts[0] != "gateway":
            continue
        for name in _imports(path) - set(sys.stdlib_module_names) - set(PACKAGES):
            homes = {home.lower().replace("_", "-") for home in known.get(name, [name])}
            if not homes & allowed:
                undeclared.append(f"{path.relative_to(ROOT)}: {name}")
    assert not undeclared


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_the_gateway_process_holds_no_framework(gateway_python: Path) -> None:
    script = (
        "import sys, gateway.app;"
        "print(sorted({'keras', 'tensorflow', 'tensorflow_serving', 'torch'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [gateway_python, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr


# -- code and text ------------------------------------------------------------------------------


def test_files_are_at_most_300_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in our_modules()}
    assert not {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 300}


def test_functions_are_at_most_60_lines_and_named_in_our_words() -> None:
    banned = re.compile(r"(manager|handler|utils?|payload)(?![a-z])", re.IGNORECASE)
    wrong = []
    for path in our_modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > 60 and not isinstance(node, ast.ClassDef):
                wrong.append(f"{place} has {lines} lines")
            bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
            if banned.search(node.name) and not any(map(banned.search, bases)):
                wrong.append(f"{place} uses a word that is not in the glossary")
    assert not wrong


def test_committed_text_names_no_place_on_one_machine() -> None:
    places = {str(ROOT) + "/", str(Path.home()) + "/", "file:" + "//"} - {"//"}
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in committed_files()
        for place in places
        if place in (text_of(path) or "")
    ]
    assert not found


def test_committed_text_ends_with_a_newline_and_has_no_trailing_blanks() -> None:
    blank = re.compile(r"[ \t]+$", re.MULTILINE)
    wrong = [
        str(path.relative_to(ROOT))
        for path in committed_files()
        if "golden" not in path.parts  # recorded, byte for byte
        and (text := text_of(path))
        and (not text.endswith("\n") or blank.search(text))
    ]
    assert not wrong
