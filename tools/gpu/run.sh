#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, torch 2.11 and CUDA 13, beside the bundle of tools/gpu/bundle.sh: facts, tests, sanitizers,
# equal bits and measurements, each a process under a limit of its own, ten minutes in all; a table comes last.
# Without a GPU everything that needs one is skipped by name. PYTHON names a Python with torch, tokenizers and safetensors
# (python3).
#   tools/gpu/run.sh [--to FOLDER] [--only SUITE,…] [--rebuild] [--small]
#     --to FOLDER    where logs and JSON go (gpu-results)
#     --only …       facts, tests, commands, memcheck, racecheck, base, bits, bench, peers, launches
#     --rebuild      first makes the kernels anew by the nvcc of that machine, for its own GPU
#     --small        a tiny base and short runs: whether the script itself works
set -uo pipefail
cd "$(dirname "$0")/../.."
to=gpu-results only= rebuild=no small=
while [ $# -gt 0 ]; do
  case $1 in
    --to) to=${2:?--to wants a folder}; shift ;;
    --only) only=${2:?--only wants names of suites}; shift ;;
    --rebuild) rebuild=yes ;;
    --small) small=--small ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
mkdir -p "$to"
to=$(cd "$to" && pwd)
bundle=$PWD/build-cuda/bundle
python=${PYTHON:-python3}
if ! torch=$($python -c 'import os, torch, tokenizers, safetensors; print(os.path.dirname(torch.__file__))'); then
  echo "PYTHON=$python: a Python with torch, tokenizers and safetensors is needed" >&2
  exit 2
fi
# CUDA's libraries as the wheels of torch bring them, where they do.
wheels=$(printf '%s:' "$(dirname "$torch")"/nvidia/*/lib "$(dirname "$torch")"/nvidia/*/lib64)
export LD_LIBRARY_PATH="$bundle/lib:$torch/lib:$wheels${LD_LIBRARY_PATH:-}"
export GOMP_SPINCOUNT=1000 PYTORCH_ALLOC_CONF=expandable_segments:True PATH="$bundle/bin:$PATH"
gpu=no
nvidia-smi >/dev/null 2>&1 && gpu=yes
table=()
failed=0

# suite NAME SECONDS needs COMMAND…: needs is "gpu", a program's name, or "-".
suite() {
  local name=$1 limit=$2 needs=$3 missing= began=$SECONDS code
  shift 3
  [ -z "$only" ] || [[ ",$only," == *,$name,* ]] || return 0
  [ "$needs" = - ] || [ $gpu = yes ] || missing="no GPU on this machine"
  [ "$needs" = - ] || [ "$needs" = gpu ] || command -v "$needs" >/dev/null || missing="$needs is not on this machine"
  if [ -n "$missing" ]; then
    table+=("$(printf '%-10s skipped: %s' "$name" "$missing")")
    return 0
  fi
  timeout --kill-after=5 "$limit" "$@" >"$to/$name.log" 2>&1
  code=$?
  tail -n 25 "$to/$name.log" | sed "s/^/$name| /"
  case $code in
    0) table+=("$(printf '%-10s passed in %s s' "$name" $((SECONDS - began)))") ;;
    124 | 137) table+=("$(printf '%-10s FAILED: longer than %s s' "$name" "$limit")") failed=1 ;;
    *) table+=("$(printf '%-10s FAILED with %s in %s s: %s' "$name" $code $((SECONDS - began)) "$to/$name.log")") failed=1 ;;
  esac
}

facts() {
  uname -srm
  nproc
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null
  nvcc --version 2>/dev/null | tail -n 2
  $python -c 'import torch; print("torch", torch.__version__, "GPUs", torch.cuda.device_count())'
  gaggle --version
}
export -f facts
export python

if [ $rebuild = yes ]; then
  nvcc -shared -Xcompiler -fPIC -arch=native -O3 -std=c++20 --expt-relaxed-constexpr -cudart shared -Isrc \
    -o "$bundle/lib/libgaggle_kernels.so" src/kernel/*.cu || exit 1
fi
measure=($python tools/gpu/measure.py --to "$to" $small)
suite facts 60 - bash -c facts
suite tests 60 gpu test_gpu
suite commands 100 gpu env GAGGLE_BUILD="$bundle/bin" GAGGLE_GPU="$bundle/bin/gaggle" "$python" -m pytest -q tests/gpu/test_commands.py
suite memcheck 80 compute-sanitizer compute-sanitizer --error-exitcode 9 test_gpu --gtest_filter='*Kernels*'
suite racecheck 40 compute-sanitizer compute-sanitizer --tool racecheck --error-exitcode 9 test_gpu --gtest_filter='*Kernels*/0'
suite base 40 - "${measure[@]}" base
suite bits 40 - "${measure[@]}" bits
suite bench 120 gpu "${measure[@]}" bench
suite peers 50 gpu "${measure[@]}" peers
suite launches 40 gpu "${measure[@]}" launches
echo
printf '%s\n' "${table[@]}" | tee "$to/table.txt"
exit $failed
