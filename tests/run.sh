#!/usr/bin/env bash
# Set-up, build, and every test: C++ (ctest; test_gpu is among them where there is an nvcc), Python references and
# end-to-end runs (pytest), the rooms without LibTorch under sanitizers, and the preset cuda in a clean clone.
set -uo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s (%s s)\n' "$*" $SECONDS; }

tools/setup.sh --tests || exit 1
. launch/env.sh
failed=0
say "C++ tests"
# They need no demonstration, so that is fetched beside them. Three at a time, since many wait for deadlines or for ranks.
tools/demo_assets.sh &
assets=$!
ctest --test-dir build -j3 --output-on-failure || failed=1
wait $assets || exit 1
# Tests often wait: for Slurm, for a rank that starts, for a deadline. The last steps are built in that time, at the lowest
# priority; what is left of it is built below, where a mistake shows as well.
build() { cmake --preset "$1" >/dev/null && cmake --build --preset "$1" "${@:2}"; }
set -m  # a process group of its own, to be ended as one
nice -n 19 bash -c "$(declare -f build); build sanitize -j2; build tsan -j2" >/dev/null 2>&1 </dev/null &
builds=$!
clean=$(mktemp -d)
nice -n 19 tests/gpu/clean.sh "$clean/gaggle" >"$clean/log" 2>&1 </dev/null &
cuda=$!
set +m
trap 'kill -- -$builds -$cuda 2>/dev/null; rm -rf "$clean"' EXIT
say "Python tests"
# File after file in the order of tests/conftest.py, the long ones first. A test that hangs fails, with its name.
OMP_NUM_THREADS=1 GAGGLE_BUILD=build .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --timeout 900 \
  --durations=8 tests || failed=1
kill -- -$builds 2>/dev/null
wait $builds 2>/dev/null
while kill -0 -- -$builds 2>/dev/null; do sleep 0.1; done  # two ninjas must not meet in one folder
say "rooms without LibTorch under AddressSanitizer and UndefinedBehaviorSanitizer"
build sanitize && ctest --test-dir build-sanitize -j3 --output-on-failure || failed=1
say "side threads, communicators, watchdog and coordinator under ThreadSanitizer"
build tsan && ctest --preset tsan -j3 || failed=1
say "the preset cuda in a clean clone"
if wait $cuda; then tail -n 12 "$clean/log"; else
  cat "$clean/log"
  failed=1
fi
say "$([ $failed = 0 ] && echo all passed || echo FAILED)"
exit $failed
