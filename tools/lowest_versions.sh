#!/usr/bin/env bash
# Builds gaggle with the lowest versions that README names, as far as packages have them: LibTorch 2.11.0, CMake 3.28, and from
# Debian 12 g++ 12, Open MPI 4.1.4 and all other libraries. Runs every C++ test, and an expert with its evaluation over two ranks.
#   tools/lowest_versions.sh FOLDER     clones into it; about 20 minutes on 2 cores; remove it afterwards
set -euo pipefail
[ $# = 1 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
[ ! -e "$1" ] || { echo "$1: is there already; name a folder that is not" >&2; exit 2; }
[ "$(. /etc/os-release && echo "$ID $VERSION_ID")" = "debian 12" ] || { echo "these are the versions of Debian 12; this is another system" >&2; exit 2; }
source=$(cd "$(dirname "$0")/.." && pwd)
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

"$source/tools/demo_assets.sh"
git clone --quiet "$source" "$1"
cd "$1"
ln -s "$source/demo" demo
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ git pkg-config python3-venv \
  nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libssl-dev libsentencepiece-dev libpcre2-dev \
  libutf8proc-dev libjemalloc-dev libgtest-dev libbenchmark-dev libopenmpi-dev openmpi-bin >/dev/null
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps torch==2.11.0 nvidia-cuda-runtime==13.0.96 \
  nvidia-cuda-cupti==13.0.85 cmake==3.28.4 ninja==1.13.0
export PATH=$PWD/.venv/bin:/usr/local/bin:/usr/bin:/bin OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cmake --preset cpu -DGAGGLE_TESTS=ON -DMPI_HOME="/usr/lib/$(uname -m)-linux-gnu/openmpi" -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0
cmake --build --preset cpu -j2 -- --quiet
build/gaggle --version
ctest --test-dir build -j2 --output-on-failure
for command in experts eval; do
  mpirun.openmpi -np 2 --oversubscribe --bind-to none build/gaggle $command configs/demo.toml --registry.path=lowest \
    --data.tasks='["demo/tasks/held_in/imperial_date_to_string.jsonl"]' --eval.tasks='["demo/tasks/held_in/imperial_date_to_string.jsonl"]' \
    --train.steps=2 --gate.steps=2 --eval.methods='["none", "phatgoose"]' --data.limit_test=4
done
