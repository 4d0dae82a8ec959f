"""Does the comparison with the peers ask what it says, judge what comes back, and reckon its targets right?"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import cast

import numpy as np
import orjson
import pytest

from gateway.control.source import load as read_config
from loadtests.answers import Tolerance
from loadtests.bench.processes import Running
from loadtests.open_loop import Answer
from loadtests.peers.catalogue import PEERS
from loadtests.peers.figures import Figures
from loadtests.peers.forms import OIP, PLAIN, ROWS, TFS, Form
from loadtests.peers.judge import judge
from loadtests.peers.peer import VARIANTS, Model, Start, Variant
from loadtests.peers.plot import picture_name
from loadtests.peers.processes import Family
from loadtests.peers.questions import LENGTHS, Questions, padded, questions
from loadtests.peers.section import section
from loadtests.peers.targets import half_of, targets
from loadtests.peers.tfserving import peer as tfserving
from loadtests.results import FOLDER, Row, load, rendered, save
from model_store.manifest import versions

ROOT = Path(__file__).resolve().parent.parent.parent
STORE = ROOT / "model_store"
MODELS: tuple[Model, ...] = ("iris", "minilm")

FLOWERS = Questions(
    rows=[{"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}],
    expected=np.array([[0.5, 0.25], [8.0, 9.0]], np.float32),
    tolerance=Tolerance(atol=1e-5, rtol=1e-5),
)


@pytest.mark.parametrize(
    ("form", "body", "answer"),
    [
        (PLAIN, {"a": [1, 2], "b": [3, 4]}, {"y": [0.5]}),
        (PLAIN, {"a": [1, 2], "b": [3, 4]}, [0.5]),
        (ROWS, {"rows": [{"a": [1, 2], "b": [3, 4]}]}, [[0.5]]),
        (TFS, {"instances": [{"a": [1, 2], "b": [3, 4]}]}, {"predictions": [[0.5]]}),
    ],
)
def test_a_row_is_written_and_read_in_each_form(form: Form, body: object, answer: object) -> None:
    assert orjson.loads(form.write({"a": [1, 2], "b": [3, 4]})) == body
    assert form.read(orjson.dumps(answer)) == [0.5]


def test_one_input_stands_without_its_name_in_tf_servings_rows() -> None:
    assert orjson.loads(TFS.write({"x": [1, 2]})) == {"instances": [[1, 2]]}


def test_oip_has_shapes_and_datatypes() -> None:
    asked = orjson.loads(OIP.write({"input_ids": [101, 102], "attention_mask": [1, 1]}))["inputs"]
    assert [(entry["shape"], entry["datatype"]) for entry in asked] == [([1, 2], "INT64")] * 2
    assert OIP.read(b'{"outputs": [{"name": "y", "shape": [1, 2], "data": [1.5, 2]}]}') == [1.5, 2]


def test_padding_ends_at_the_next_multiple() -> None:
    row = {"input_ids": [101, 7, 102], "attention_mask": [1, 1, 1]}
    assert padded(row, 1) == row
    assert padded(row, 4) == {"input_ids": [101, 7, 102, 0], "attention_mask": [1, 1, 1, 0]}
    assert padded(row, 3) == row


def test_sentences_are_of_mixed_lengths() -> None:
    if not versions(STORE, "minilm"):
        pytest.skip("model minilm is not built: run `make store`")
    asked = questions(STORE, "minilm")
    lengths = [len(row["input_ids"]) for row in asked.rows]
    assert (min(lengths), max(lengths)) == LENGTHS
    assert lengths != sorted(lengths)
    assert len({length // 16 for length in lengths}) == 9
    known = ~np.isnan(asked.expected).any(axis=1)
    assert known.tolist() == [length <= 64 for length in lengths]
    assert not asked.complete
    for row in asked.rows:  # one sentence, from its first token to its last
        ids = list(row["input_ids"])
        assert (ids[0], ids[-1], ids.count(101), ids.count(102)) == (101, 102, 1, 1)
        assert row["attention_mask"] == [1] * len(ids)


def answers(*rows: list[float]) -> list[Answer | None]:
    return [Answer(200, orjson.dumps({"y": row})) for row in rows]


def test_right_answers_are_right_row_by_row() -> None:
    found = judge(answers([0.5, 0.25], [8, 9.00001], [0.5, 0.25]), FLOWERS, PLAIN.read)
    assert (found.checked, found.wrong) == (3, 0)


def test_answers_of_other_rows_or_shapes_are_wrong() -> None:
    swapped = judge(answers([8, 9], [0.5, 0.25]), FLOWERS, PLAIN.read)
    assert (swapped.checked, swapped.wrong) == (2, 2)
    short = judge(answers([0.5]), FLOWERS, PLAIN.read)
    assert (short.checked, short.wrong) == (1, 1)
    garbled = judge([Answer(200, b"{"), Answer(200, b'{"z": 1}')], FLOWERS, PLAIN.read)
    assert (garbled.checked, garbled.wrong) == (2, 2)
    not_a_number = [Answer(200, b'{"y": [null, null]}')]
    assert judge(not_a_number, FLOWERS, PLAIN.read).wrong == 1


def test_errors_are_not_judged() -> None:
    found = judge([None, Answer(503, b"busy")], FLOWERS, PLAIN.read)
    assert (found.checked, found.wrong) == (0, 0)


def closed(server: str, connections: int, per_s: float, **more: object) -> Row:
    row = {"server": server, "model": "iris", "variant": "tuned", "loop": "closed", "round": 0}
    row |= {"connections": connections, "per_s": per_s, "p50_ms": 1.0, "p99_ms": 2.0}
    return cast("Row", row | {"errors": 0, "cpu_us": 50.0, "generator_busy": 0.5} | more)


def opened(server: str, rate: str, p99_ms: float, *, valid: bool = True) -> Row:
    row: Row = {"server": server, "model": "iris", "variant": "tuned", "loop": "open", "rate": rate}
    figures: Row = {"wanted_per_s": 1.0, "answered_per_s": 1.0, "p50_ms": 1.0, "p90_ms": 1.0}
    told: Row = {"p99_ms": p99_ms, "errors": 0, "unanswered": 0, "late_p99_ms": 0.1, "valid": valid}
    return {**row, **figures, **told, "requests": 320, "generator_busy": 0.25}


def test_a_server_is_taken_at_its_better_variant() -> None:
    rows = [
        closed("mosec", 64, 100, variant="recommended"),
        closed("mosec", 64, 300, variant="recommended"),
        closed("mosec", 64, 250),
        closed("mosec", 256, 900),
    ]
    figures = Figures.of("iris", rows)
    assert figures.closed("mosec", "recommended", 64) == 200  # the median of its rounds
    assert figures.better("mosec") == "tuned"
    assert (figures.best("mosec", 64), figures.capacity("mosec")) == (250, 900)


def test_targets_compare_with_the_best_and_with_every_other() -> None:
    rows = [
        closed("tandem", 16, 900),
        closed("tandem", 64, 1000),
        closed("mosec", 16, 300),
        closed("mosec", 64, 800),
        closed("ray", 16, 600),
        closed("ray", 64, 700),
        opened("tandem", half_of("mosec"), 3.0),
        opened("mosec", half_of("mosec"), 10.0),
        opened("tandem", half_of("ray"), 3.0),
        opened("ray", half_of("ray"), 10.0, valid=False),
    ]
    got = {target.what: (target.got, target.outcome) for target in targets(rows)}
    assert got["iris: requests/s of 64 callers ÷ those of mosec"] == (1.25, "met")
    assert got["iris: requests/s of 64 callers ÷ those of ray"][1] == "missed by 64 %"
    assert got["iris: requests/s of 16 callers ÷ those of ray"][0] == 1.5
    assert got["iris: p99 at half of mosec's capacity ÷ mosec's there"] == (0.3, "met")
    assert got["iris: p99 at half of ray's capacity ÷ ray's there"] == (None, "not measured")
    assert got["minilm: rows/s ÷ the offline maximum"] == (None, "not measured")


def test_minilm_is_held_to_the_offline_maximum() -> None:
    rows: list[Row] = [
        closed("tandem", 64, 90, model="minilm", p99_ms=600.0),
        closed("mosec", 64, 80, model="minilm", p99_ms=800.0),
        {"server": "offline", "model": "minilm", "loop": "offline", "per_s": 100.0},
    ]
    got = [target.got for target in targets(rows) if target.what.startswith("minilm")]
    assert got == [0.9, 0.75]


def test_the_section_has_every_server_and_every_failure(tmp_path: Path) -> None:
    settings = {"loop": "settings", "settings": "`batch` 64", "title": "mosec"}
    rows: list[Row] = [
        closed("mosec", 64, 12345),
        {**closed("mosec", 64, 0), **settings},
        opened("mosec", half_of("mosec"), 9.5, valid=False),
        {"server": "ray", "model": "iris", "variant": "tuned", "loop": "failed", "why": "no port"},
    ]
    text = section(save("try", command="c", rows=rows, targets=targets(rows), folder=tmp_path))
    for wanted in (
        "12,345 · 1 · 2",
        "`batch` 64",
        "**invalid**",
        "bar [12345]",
        "**Failed**: ray, iris, tuned: no port",
        "closed loop 0.50 (mosec, iris, 64 callers); open loop 0.25",
        "(results/peers-iris.svg)",
        "| 320 |",
    ):
        assert wanted in text


def test_the_manual_shows_what_was_measured() -> None:
    if not (FOLDER / "peers.json").exists():
        pytest.skip("nothing was measured yet")
    report = load("peers")
    assert rendered("peers") == section(report).strip()
    for model in {row["model"] for row in report.rows if row["loop"] == "open"}:
        drawn = (FOLDER / picture_name(str(model))).read_text()
        assert "offered rows/s" in drawn


def test_every_peer_is_set_for_every_model_in_both_ways() -> None:
    for peer in PEERS.values():
        assert set(peer.settings) == set(VARIANTS), peer.name
        for models in peer.settings.values():
            assert set(models) == set(MODELS), peer.name


def test_other_settings_can_be_tried_on_the_tuned_variant_alone() -> None:
    mosec = PEERS["mosec"]
    tried = mosec.tuned({"max_batch_size": 7, "batchSize": 9})
    assert tried.settings["recommended"] == mosec.settings["recommended"]
    for model in MODELS:
        assert tried.settings["tuned"][model] == {
            **mosec.settings["tuned"][model],
            "max_batch_size": 7,
        }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_tandem_is_told_what_it_understands(tmp_path: Path, model: Model, variant: Variant) -> None:
    for peer in (PEERS["tandem"], tfserving.peers(Path("tensorflow_model_server"))[1]):
        start = Start(model, peer.settings[variant][model], 8080, tmp_path)
        backend, ours = peer.commands(start)
        config = read_config(Path(ours.argv[-1]))
        assert config.listen.rest == "127.0.0.1:8080"
        assert set(config.models) == {model}
        (served,) = config.backends.values()
        assert any(str(served.address).split(":")[1] in str(part) for part in backend.argv)
        assert bool(config.models[model].sequence.inputs) == (model == "minilm")


def test_tensorflow_serving_is_left_out_without_its_binary() -> None:
    assert not {"tfserving", "tandem-tfserving"} & set(PEERS)
    (got,) = [target for target in targets([]) if "TF Serving" in target.what]
    assert got.outcome == "not measured"


def test_tensorflow_serving_batches_where_it_is_told_to(tmp_path: Path) -> None:
    peer, _ = tfserving.peers(Path("tensorflow_model_server"))
    plain, batching = (
        peer.commands(Start("iris", peer.settings[variant]["iris"], 8501, tmp_path))[0].argv
        for variant in VARIANTS
    )
    assert "--rest_api_port=8501" in plain
    assert set(map(str, batching)) >= {"--enable_batching=true", "--rest_api_port=8501"}
    assert "--enable_batching=true" not in plain
    assert "max_batch_size { value: 64 }" in (tmp_path / "batching.config").read_text()


def test_a_family_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """Also with those who made a session of their own, as Ray's processes do."""
    told = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {told}; setsid sleep 600 & echo $! >> {told}; echo; wait"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        said.readline()
        family = Family(Running("sh", process, told))
        assert family.cpu_s() >= 0
        family.stop()
    pids = [int(line) for line in told.read_text().split()]
    assert len(pids) == 2
    for pid in (*pids, process.pid):
        assert not alive(pid)


def alive(pid: int) -> bool:
    """A zombie has ended; nobody may be there to wait for an orphan."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
