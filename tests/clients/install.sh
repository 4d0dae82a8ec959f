#!/bin/sh
# Makes .venv-clients, the environment of clients and searchers that are not ours: tests/clients/install.sh
#
# `tests/clients/install.sh lock [--upgrade]` resolves requirements.in again first.
set -eu
cd "$(dirname "$0")/../.."
uv=.venv/bin/uv
home=.venv-clients
lock=tests/clients/requirements.lock

if [ "${1:-}" = lock ]; then
  shift
  "$uv" pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url \
    --no-emit-find-links --python-version 3.11 "$@" tests/clients/requirements.in -o "$lock"
  # Several hashes a line, so that a diff shows packages.
  awk '{ sub(/ \\$/, "") }
    /^ +--hash/ { sub(/^ +/, ""); printf "%s%s", (n++ % 4 ? " " : " \\\n    "), $0; next }
    { n = 0; printf "%s%s", (NR > 1 ? "\n" : ""), $0 } END { print "" }' "$lock" >"$lock.new"
  mv "$lock.new" "$lock"
fi
if [ -e "$home/ready" ] && [ ! "$lock" -nt "$home/ready" ]; then exit 0; fi
echo "clients: $home"
"$uv" venv --quiet --allow-existing --python .venv/bin/python "$home"
"$uv" pip sync --quiet --require-hashes --python "$home/bin/python" "$lock"
pwd > "$home/lib/python3.11/site-packages/tandem.pth"
touch "$home/ready"
