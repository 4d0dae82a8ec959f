"""What does the file for the real server look like, and is it read back as it was meant?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from serving.tf_serving.config import ConfigError, ModelConfig, main, models_in, render
from serving.tf_serving.versions import AllVersions, Latest, Policy, Specific

policies: st.SearchStrategy[Policy] = st.one_of(
    st.builds(Latest, st.integers(1, 2**32 - 1)),
    st.just(AllVersions()),
    st.builds(Specific, st.frozensets(st.integers(0, 2**63 - 1), min_size=1, max_size=3)),
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
configs = st.builds(
    ModelConfig,
    name=names,
    base_path=names.map(lambda name: f"/{name.replace(chr(0), '')}x"),
    policy=policies,
    labels=st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=2),
)


def _store(root: Path) -> Path:
    for version in ("digits/1", "iris/0003", "torch_only/1", "no_version/x"):
        (root / version).mkdir(parents=True)
    (root / "digits/1/saved_model.pb").touch()
    (root / "iris/0003/saved_model.pb").touch()
    (root / "torch_only/1/model.pt2").touch()
    (root / "README.md").touch()
    return root


def test_the_file_names_every_model_that_has_a_saved_model(tmp_path: Path) -> None:
    assert models_in(_store(tmp_path)) == ("digits", "iris")


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a directory"):
        models_in(tmp_path / "nowhere")


def test_the_file_is_written_as_a_person_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(_store(tmp_path)), "--mounted-at", "/models"]) == 0
    assert (
        capsys.readouterr().out
        == """\
model_config_list {
  config {
    name: "digits"
    base_path: "/models/digits"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 1 } }
  }
  config {
    name: "iris"
    base_path: "/models/iris"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 1 } }
  }
}
"""
    )


def test_paths_are_absolute_as_the_real_server_wants_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    assert main(["--store", "store", "--all-versions"]) == 0
    out = capsys.readouterr().out
    assert f'base_path: "{tmp_path.resolve()}/store/iris"' in out
    assert "all {}" in out


def test_a_missing_store_ends_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(tmp_path / "nowhere")]) == 2
    assert "not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5"])
def test_the_number_of_versions_is_a_whole_one(
    count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--store", str(tmp_path), "--num-versions", count])
    assert "whole number from 1" in capsys.readouterr().err


def test_the_image_serves_the_models_of_the_store(root: Path) -> None:
    """The committed file is what the command writes for the models that Tandem ships."""
    committed = (root / "serving/tf_serving/models.config").read_text()
    models = ("iris", "digits", "minilm")
    assert committed.endswith(
        render(ModelConfig(name=name, base_path=f"/models/{name}") for name in models)
    )


def test_the_image_and_the_cluster_serve_the_same_models(root: Path) -> None:
    for name in ("models.config", "monitoring.config"):
        here = (root / "serving/tf_serving" / name).read_text().splitlines(keepends=True)
        plain = "".join(line for line in here if not line.startswith("#"))
        assert plain == (root / "k8s/base/config/tf-serving" / name).read_text()


@given(st.lists(configs, max_size=3))
def test_the_text_is_plain_ascii_and_balanced(models: list[ModelConfig]) -> None:
    text = render(models)
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())


_READ = """
import json, sys
from serving.tf_serving.textproto import parse
from serving.tf_serving.config import ConfigError
for line in sys.stdin:
    try:
        models = [
            [model.name, model.base_path, type(model.policy).__name__,
             getattr(model.policy, "count", 0), sorted(getattr(model.policy, "versions", ())),
             sorted(map(list, model.labels.items()))]
            for model in parse(json.loads(line))
        ]
    except ConfigError as error:
        models = f"ConfigError: {error}"
    print(json.dumps(models))
"""


def _read(texts: list[str], tf_python: Path, root: Path) -> list[Any]:
    """What TensorFlow Serving's own messages make of each text, in the environment that has them."""
    done = subprocess.run(
        [tf_python, "-c", _READ],
        input="".join(json.dumps(text) + "\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _plain(model: ModelConfig) -> list[object]:
    return [
        model.name,
        model.base_path,
        type(model.policy).__name__,
        getattr(model.policy, "count", 0),
        sorted(getattr(model.policy, "versions", ())),
        sorted(map(list, model.labels.items())),
    ]


@pytest.mark.slow
@settings(max_examples=3, phases=[Phase.generate])  # each example is a process
@given(st.lists(st.lists(configs, max_size=3, unique_by=lambda model: model.name), min_size=20))
def test_what_is_written_is_what_the_real_messages_read(
    tf_python: Path, root: Path, written: list[list[ModelConfig]]
) -> None:
    got = _read([render(models) for models in written], tf_python, root)
    assert got == [[_plain(model) for model in models] for models in written]


@pytest.mark.slow
def test_what_cannot_be_served_is_refused_in_the_real_servers_words(
    tf_python: Path, root: Path
) -> None:
    def listing(*fields: str) -> str:
        return f"model_config_list {{ {' '.join(f'config {{ {field} }}' for field in fields)} }}"

    good = 'name: "m" base_path: "/m" model_platform: "tensorflow"'
    cases = {
        "": "got no model_config_list",
        "custom_model_config {}": "got no model_config_list",
        "model_config_list { config { nmae: 'm' } }": "not a ModelServerConfig in text format: 1:30",
        listing(good, good): "Illegal to list model m multiple times in config list",
        listing(
            'name: "m" base_path: "/m"'
        ): "Illegal setting neither ModelServerConfig::model_type"
        " (deprecated) nor ModelServerConfig::model_platform, model name is m",
        listing(good.replace("tensorflow", "tflite")): "model m: got model_platform 'tflite'",
        listing('base_path: "/m" model_platform: "tensorflow"'): "a model has no name",
        listing('name: "m" model_platform: "tensorflow"'): "model m has no base_path",
        listing(good + " model_version_policy { specific {} }"): "names no version",
    }
    for problem, wanted in zip(_read(list(cases), tf_python, root), cases.values(), strict=True):
        assert problem.startswith("ConfigError: ")
        assert wanted in problem


@pytest.mark.slow
def test_a_policy_left_out_is_the_newest_version_and_a_relative_path_starts_here(
    tf_python: Path, root: Path
) -> None:
    config = 'name: "m" base_path: "store/m" model_platform: "tensorflow"'
    wanted = [_plain(ModelConfig(name="m", base_path=str(root / "store/m"), policy=Latest(1)))]
    for policy in ("", " model_version_policy {}", " model_version_policy { latest {} }"):
        text = f"model_config_list {{ config {{ {config}{policy} }} }}"
        assert _read([text], tf_python, root) == [wanted]
