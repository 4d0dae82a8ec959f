#!/bin/sh
# Makes the environment of one peer, or of all: loadtests/peers/install.sh [mosec|litserve|triton|...]...
#
# Each peer has an environment of its own, .venv-peer-NAME at the repository's root, from a pinned lock file;
# one that is up to date is left alone. TorchServe, Triton and MLServer share theirs with the contract tests.
set -eu
cd "$(dirname "$0")/../.."
uv=.venv/bin/uv

if [ $# -eq 0 ]; then set -- mosec litserve triton torchserve bentoml mlserver ray; fi
for peer in "$@"; do
  case $peer in
    torchserve | triton | mlserver)
      tests/peers/install.sh "$peer"
      continue
      ;;
  esac
  lock=loadtests/peers/$peer/requirements.lock
  home=.venv-peer-$peer
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
