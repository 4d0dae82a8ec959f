#!/bin/sh
# Makes the environment of one peer, or of all: tests/peers/install.sh [torchserve|triton|mlserver]...
#
# Each peer has an environment of its own, .venv-peer-NAME at the repository's root, from the pinned lock
# file beside this script; one that is up to date is left alone. TorchServe also needs a Java 17 runtime
# (Debian: openjdk-17-jre-headless), which this script only looks for.
set -eu
cd "$(dirname "$0")/../.."
uv=.venv/bin/uv

if [ $# -eq 0 ]; then set -- torchserve triton mlserver; fi
for peer in "$@"; do
  lock=tests/peers/requirements/$peer.lock
  home=.venv-peer-$peer
  if [ "$peer" = torchserve ] && ! command -v java >/dev/null; then
    echo "peers: torchserve needs java (Debian: openjdk-17-jre-headless); left out" >&2
    continue
  fi
  if [ -e "$home/ready" ] && [ ! "$lock" -nt "$home/ready" ]; then continue; fi
  echo "peers: $home"
  "$uv" venv --quiet --allow-existing --python .venv/bin/python "$home"
  # The index that has PyTorch's CPU build, where no folder of wheels does.
  backend=$([ -n "${UV_FIND_LINKS:-}" ] || echo '--torch-backend cpu')
  # shellcheck disable=SC2086  # none, or two words
  "$uv" pip sync --quiet --require-hashes $backend --python "$home/bin/python" "$lock"
  pwd > "$home/lib/python3.11/site-packages/tandem.pth"
  touch "$home/ready"
done
