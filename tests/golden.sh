#!/usr/bin/env bash
# Does this working tree give every bit that an earlier commit gave? Run it after each large change of the code.
#   tests/golden.sh COMMIT        builds COMMIT beside the working tree, runs both on the same tiny models and tasks, and
#                                 compares keys, tensors, metrics, alignment files and predictions; ends with a table,
#                                 and with 1 where anything differs
#   tests/golden.sh COMMIT --only adapt     the stories whose name begins so (tests/golden/stories.py)
#   tests/golden.sh COMMIT --spoil          the working tree runs with another learning rate: everything must differ
# What COMMIT made is kept under build-golden/ (GAGGLE_GOLDEN) and not made again; the working tree's program is
# build/gaggle (GAGGLE_BUILD), which is brought up to date first.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
commit=$(git rev-parse --verify --short=12 "$1^{commit}")
shift
[ -x .venv/bin/python ] || { echo "no .venv here: run tools/setup.sh --tests first" >&2; exit 2; }
mkdir -p "${GAGGLE_GOLDEN:=build-golden}"
golden=$(cd "$GAGGLE_GOLDEN" && pwd)
export PATH="$PWD/.venv/bin:$PATH" CCACHE_SLOPPINESS=pch_defines,time_macros

# Compiles gaggle in a folder, without its tests: several sources at a time where nothing is configured yet.
build_gaggle() {  # source folder, build folder
  if [ ! -f "$2/build.ninja" ]; then
    cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGAGGLE_CUDA=OFF -DGAGGLE_TESTS=OFF \
      -DCMAKE_UNITY_BUILD=ON >"$golden/configure.log" || { cat "$golden/configure.log"; exit 1; }
  fi
  nice -n 5 cmake --build "$2" --target gaggle -- --quiet
}

old=$golden/$commit
if [ ! -x "$old/build/gaggle" ]; then
  echo "== building $commit in $old"
  [ -d "$old" ] || git worktree add --quiet --detach "$old" "$commit"
  [ -e "$old/.venv" ] || ln -s "$(realpath .venv)" "$old/.venv"
  build_gaggle "$old" "$old/build"
fi
new=${GAGGLE_BUILD:-build}
echo "== building the working tree in $new"
build_gaggle "$PWD" "$new"
exec .venv/bin/python tests/golden/compare.py "$old/build/gaggle" "$new/gaggle" --golden "$golden" --commit "$commit" "$@"
