#!/usr/bin/env bash
# The demonstration, from a fresh clone to the table: set-up, build, six experts with gates on SmolLM2-135M over two
# ranks, the registry, and zero-shot scores with per-token routing. About 10 minutes on 2 idle cores after set-up.
# Arguments go to gaggle: launch/demo.sh --run.seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
tools/demo_assets.sh
. launch/env.sh
gaggle=${GAGGLE#"$PWD/"}

for command in experts eval; do
  printf '\n$ mpirun -np 2 %s %s configs/demo.toml %s\n' "$gaggle" "$command" "$*"
  mpirun -np 2 "$gaggle" "$command" configs/demo.toml "$@"
done
