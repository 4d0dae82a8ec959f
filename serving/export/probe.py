"""Which versions and which data files does this environment hold? Standard library only, no framework.

`serving.export.fingerprint` runs this file with the environment's own Python:

    python -I probe.py '{"distributions": ["torch"], "files": [["scikit-learn", "sklearn/…/iris.csv"]]}'

It prints one JSON object: Python's version, the machine, a version or null by distribution, and the sha256
or null by file.
"""

import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path


def version_of(distribution: str) -> str | None:
    """The installed version, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def sha256_of(distribution: str, path: str) -> str | None:
    """The sha256 of a file that a distribution installed, None if there is none."""
    try:
        located = Path(str(metadata.distribution(distribution).locate_file(path)))
        with located.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (metadata.PackageNotFoundError, FileNotFoundError):
        return None


def main() -> None:
    """Answer the question in the first argument."""
    question = json.loads(sys.argv[1])
    answer = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version_of(name) for name in question["distributions"]},
        "files": {f"{dist}:{path}": sha256_of(dist, path) for dist, path in question["files"]},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
