#!/usr/bin/env bash
# The demonstration, from a fresh clone to tables and pictures: set-up, build, six experts with gates on SmolLM2-135M over
# two ranks, the registry, zero-shot scores with per-token routing, what routing chooses, and a report. About 10 minutes on
# 2 idle cores after set-up.
# Arguments go to gaggle: launch/demo.sh --run.seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
tools/demo_assets.sh
. launch/env.sh
gaggle=${GAGGLE#"$PWD/"}

for command in experts eval analyse; do
  printf '\n$ mpirun -np 2 %s %s configs/demo.toml %s\n' "$gaggle" "$command" "$*"
  mpirun -np 2 "$gaggle" "$command" configs/demo.toml "$@"
done
printf '\n$ %s report runs/demo\n' "$gaggle"
"$gaggle" report runs/demo*  # of a variant, too: --run.variant=…
