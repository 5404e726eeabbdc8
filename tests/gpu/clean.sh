#!/usr/bin/env bash
# What a user with GPUs does, in a clean clone where nothing of the tests is installed: tools/setup.sh with the preset cuda, the
# doctor, the bundle for a bare machine, and its run script, which skips by name what needs a GPU where there is none.
#   tests/gpu/clean.sh FOLDER     clones into it; skips by name where there is no nvcc
set -euo pipefail
command -v nvcc >/dev/null || { echo "skipped: nvcc is not on PATH"; exit 0; }
source=$(cd "$(dirname "$0")/../.." && pwd)
git clone --quiet "$source" "$1"
cd "$1"
clean=(env -i HOME="$HOME" PATH="$(dirname "$(command -v nvcc)"):/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" GAGGLE_PRESET=cuda)
"${clean[@]}" tools/setup.sh
"${clean[@]}" build-cuda/gaggle doctor
"${clean[@]}" build-cuda/gaggle --version
grep -q 'NCCL_INCLUDE:PATH=/' build-cuda/CMakeCache.txt
"${clean[@]}" tools/gpu/bundle.sh
[ "$(du -sm build-cuda/bundle | cut -f1)" -lt 64 ]
"${clean[@]}" PYTHON="$source/.venv/bin/python" tools/gpu/run.sh --small --to results
grep -q '^bits *passed' results/table.txt
