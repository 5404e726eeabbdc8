#!/usr/bin/env bash
# Everything gaggle needs on Debian 12, once: system packages, .venv, the build. Run it again at any time.
#   tools/setup.sh            packages, .venv, build/gaggle
#   tools/setup.sh --tests    also what the parity tests compare with, and the test programs
# Elsewhere: install the packages listed below by your own means and set GAGGLE_NO_APT=1.
set -euo pipefail
cd "$(dirname "$0")/.."
with_tests=no
[ "${1:-}" = --tests ] && with_tests=yes

packages=(g++ git ccache pkg-config unzip python3 python3-venv
  nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libssl-dev
  libsentencepiece-dev libpcre2-dev libutf8proc-dev libjemalloc-dev)
[ $with_tests = yes ] && packages+=(libgtest-dev libbenchmark-dev clang slurm-wlm munge libpmix-dev iproute2 chromium-headless-shell)

say() { printf '\n== %s\n' "$*"; }

missing=()
if command -v dpkg-query >/dev/null && [ -z "${GAGGLE_NO_APT:-}" ]; then
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
fi
if [ ${#missing[@]} -gt 0 ]; then
  say "system packages: ${missing[*]}"
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A requirements file is installed when it has changed since the last time.
install_requirements() {  # name, pip options…, file last
  local stamp=.venv/.installed-$1 file="${*: -1}"
  cmp -s "$file" "$stamp" && return
  say "Python packages of $file into .venv"
  .venv/bin/pip install --quiet --disable-pip-version-check "${@:2:$#-2}" -r "$file"
  cp "$file" "$stamp"
}
# With a GPU here: the preset cuda. For the tests the CUDA code is compiled wherever there is an nvcc.
preset=${GAGGLE_PRESET:-cpu}
if [ -z "${GAGGLE_PRESET:-}" ] && command -v nvcc >/dev/null && nvidia-smi >/dev/null 2>&1; then preset=cuda; fi

[ -x .venv/bin/pip ] || python3 -m venv .venv
install_requirements tools --no-deps tools/requirements.txt
[ "$preset" = cuda ] && install_requirements cuda --no-deps tools/requirements-cuda.txt
if [ "$preset" = cuda ] && [ -z "${CUDACXX:-}" ] && ! command -v nvcc >/dev/null; then
  install_requirements nvcc --no-deps tools/requirements-nvcc.txt
  toolkit=$(echo "$PWD"/.venv/lib/python3*/site-packages/nvidia/cu13)
  ln -sf libcudart.so.13 "$toolkit/lib/libcudart.so"  # what is linked by; the package brings what is loaded
  ln -sfn lib "$toolkit/lib64"  # where this nvcc looks for its libraries; the packages put them into lib
  export CUDACXX=$toolkit/bin/nvcc
fi
[ $with_tests = yes ] && install_requirements tests tests/requirements.txt

options=(-DGAGGLE_TESTS=OFF)
# A first build takes all sources of a room at a time, a quarter of the work; `cmake --preset` alone is for small steps.
folder=build
[ "$preset" = cpu ] || folder=build-$preset
[ -f "$folder/CMakeCache.txt" ] || options+=(-DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0)
[ $with_tests = yes ] && options+=(-DGAGGLE_TESTS=ON)
[ $with_tests = yes ] && [ "$preset" = cpu ] && options+=(-DGAGGLE_CUDA=CHECK)
say "build (preset $preset)"
PATH="$PWD/.venv/bin:$PATH"
cmake --preset "$preset" "${options[@]}" >.venv/configure.log || { cat .venv/configure.log; exit 1; }
# ninja's own line counts on a terminal; elsewhere each twentieth step is a line. What a compiler says is shown.
if [ -t 1 ]; then
  NINJA_STATUS='[%f of %t steps, %e s] ' cmake --build --preset "$preset"
else
  NINJA_STATUS='[%f of %t steps, %e s] ' cmake --build --preset "$preset" |
    awk '/^\[[0-9]+ of [0-9]+ steps, / { if (int(20 * substr($1, 2) / $3) == told) next; told = int(20 * substr($1, 2) / $3)
      sub(/\].*/, "]") } { print; fflush() }'
fi

say "built: $folder/gaggle"
echo "next: . launch/env.sh      in each shell: puts gaggle, mpirun and cmake on PATH
      gaggle --help"
