#!/usr/bin/env bash
# Set-up, build, and every test: C++ (ctest; test_gpu is among them where there is an nvcc), Python references and
# end-to-end runs (pytest), and the rooms without LibTorch under sanitizers.
set -uo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s (%s s)\n' "$*" $SECONDS; }

tools/setup.sh --tests || exit 1
tools/demo_assets.sh || exit 1
. launch/env.sh
failed=0
say "C++ tests"
ctest --test-dir build -j2 --output-on-failure || failed=1
say "Python tests"
OMP_NUM_THREADS=1 GAGGLE_BUILD=build .venv/bin/python -m pytest -q -n 2 --dist loadfile --durations=8 tests || failed=1
say "rooms without LibTorch under AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset sanitize >/dev/null && cmake --build --preset sanitize && ctest --test-dir build-sanitize -j2 --output-on-failure || failed=1
say "communicators, watchdog and coordinator under ThreadSanitizer"
cmake --preset tsan >/dev/null && cmake --build --preset tsan && ctest --preset tsan || failed=1
say "$([ $failed = 0 ] && echo all passed || echo FAILED)"
exit $failed
