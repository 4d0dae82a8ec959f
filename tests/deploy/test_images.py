"""Do the images hold every module of ours that their servers import?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_COPY = re.compile(
    r"^COPY ((?:gateway|model_store|serving)\S*(?: \S+)*) (/opt/tandem/\S+)$", re.MULTILINE
)
_SITE = "site-packages/"


@pytest.mark.slow
def test_the_torch_server_s_image_has_what_it_imports(root: Path, tmp_path: Path) -> None:
    """What its Dockerfile copies, and nothing else of this repository, is enough to start."""
    text = (root / "serving/torch_server/Dockerfile").read_text().replace("\\\n", "")
    copies = _COPY.findall(text)
    assert copies
    for sources, target in copies:
        into = tmp_path / target.partition(_SITE)[2]
        for source in sources.split():
            if (root / source).is_dir():
                shutil.copytree(root / source, into)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / source, into)
    modules = "serving.torch_server.__main__, serving.torch_server.worker"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {modules}"
    ran = subprocess.run(
        [root / ".venv-torch/bin/python", "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
