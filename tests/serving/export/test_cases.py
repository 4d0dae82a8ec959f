"""The gate asks for ten samples, every row, awkward sizes and the bounds of every dynamic dimension."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.tensors import Array
from model_store.definition import find
from model_store.held_out import HeldOut
from serving.export import cases
from serving.export.cases import Case, make_cases


def tokens(rows: int) -> HeldOut:
    """A test set for minilm."""
    mask = (np.arange(64) < np.linspace(2, 64, rows).astype(int)[:, None]).astype(np.int64)
    return HeldOut(
        inputs={"input_ids": mask * 7, "attention_mask": mask},
        labels=np.zeros(rows, dtype=np.int64),
        label_names=("all",),
        expected={"embedding": np.ones((rows, 384), dtype=np.float32)},
        decision="nearest",
        decision_output="embedding",
        ragged=("input_ids", "attention_mask"),
        lengths=mask.sum(axis=1),
    )


def by_check(rows: int = 50) -> dict[str, list[Case]]:
    """minilm's cases."""
    found: dict[str, list[Case]] = {}
    for case in make_cases(find("minilm"), tokens(rows)):
        found.setdefault(case.check, []).append(case)
    return found


def test_the_checks_and_their_sizes() -> None:
    checks = by_check()
    sizes = {name: parts[0].inputs["input_ids"].shape for name, parts in checks.items()}
    assert list(sizes) == [
        "ten samples",
        "test set",
        *(f"batches of {rows}" for rows in (1, 2, 15, 16, 17, 256)),
        "tokens of 2",
        "tokens of 512",
        "ten samples again",
    ]
    for rows in (1, 2, 15, 16, 17, 256):
        assert sizes[f"batches of {rows}"][0] == rows
    assert sizes["tokens of 2"] == (2, 2)
    assert sizes["tokens of 512"] == (2, 512)
    assert sizes["ten samples"][0] == 10


def test_the_test_set_is_asked_once_and_whole() -> None:
    parts = by_check()["test set"]
    assert sorted(np.concatenate([case.rows for case in parts]).tolist()) == list(range(50))


def test_ten_samples_are_spread_and_asked_twice() -> None:
    checks = by_check()
    (first,), (again,) = checks["ten samples"], checks["ten samples again"]
    assert first.rows[0] == 0
    assert first.rows[-1] == 49
    assert len(set(first.rows.tolist())) == 10
    np.testing.assert_array_equal(first.inputs["input_ids"], again.inputs["input_ids"])


def test_keys_are_unique_even_for_a_small_test_set() -> None:
    keys = [case.key for parts in by_check(rows=3).values() for case in parts]
    assert len(keys) == len(set(keys))


def test_tensors_come_back_from_the_file_in_order(tmp_path: Path) -> None:
    tensors: dict[str, dict[str, Array]] = {
        "b#0": {"y": np.arange(3), "x": np.zeros((0, 2), np.float32)},
        "a#1": {"x": np.array(7)},
    }
    cases.save_tensors(tmp_path / "t.npz", tensors)
    loaded = cases.load_tensors(tmp_path / "t.npz")
    assert [(key, *group) for key, group in loaded.items()] == [("b#0", "y", "x"), ("a#1", "x")]
    assert loaded["a#1"]["x"].tolist() == 7
    assert loaded["b#0"]["x"].shape == (0, 2)


def test_a_refused_case_becomes_its_error(tmp_path: Path) -> None:
    cases.save_tensors(tmp_path / "in.npz", {"a#0": {"x": np.ones(1)}, "b#0": {"x": np.ones(2)}})

    def answer(inputs: cases.Tensors) -> cases.Tensors:
        if inputs["x"].shape == (2,):
            raise RuntimeError("at most one row")
        return {"y": inputs["x"].astype(np.float64) * 2}

    cases.answer_all(tmp_path / "in.npz", tmp_path / "out.npz", answer)
    answers = cases.load_tensors(tmp_path / "out.npz")
    assert answers["a#0"]["y"].tolist() == [2.0]
    assert str(answers["b#0"][cases.ERROR]) == "RuntimeError: at most one row"
