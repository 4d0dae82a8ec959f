#!/bin/sh
# Resolves the peers' environments again: loadtests/peers/lock.sh [--upgrade]
#
# Those of TorchServe, Triton and MLServer are tests/peers/lock.sh's.
set -eu
cd "$(dirname "$0")/../.."
backend=$([ -n "${UV_FIND_LINKS:-}" ] || echo '--torch-backend cpu')
for peer in mosec litserve bentoml ray; do
  lock=loadtests/peers/$peer/requirements.lock
  # shellcheck disable=SC2086  # none, or two words
  .venv/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url \
    --no-emit-find-links --python-version 3.11 $backend "$@" "loadtests/peers/$peer/requirements.in" -o "$lock"
  # Several hashes a line, so that a diff shows packages.
  awk '{ sub(/ \\$/, "") }
    /^ +--hash/ { sub(/^ +/, ""); printf "%s%s", (n++ % 4 ? " " : " \\\n    "), $0; next }
    { n = 0; printf "%s%s", (NR > 1 ? "\n" : ""), $0 } END { print "" }' "$lock" >"$lock.new"
  mv "$lock.new" "$lock"
done
