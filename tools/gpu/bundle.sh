#!/usr/bin/env bash
# Packs what a bare machine with an NVIDIA GPU needs to test and measure gaggle: build-cuda/bundle/, under 64 MB. It is made
# where nvcc is (no GPU is needed), after GAGGLE_PRESET=cuda tools/setup.sh (and with GoogleTest), and run there, beside this source tree, by
# tools/gpu/run.sh.
#   tools/gpu/bundle.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. launch/env.sh
command -v nvcc >/dev/null || { echo "nvcc was not found: install the CUDA toolkit, or put its bin folder on PATH" >&2; exit 2; }
[ -f build-cuda/build.ninja ] || { echo "no build-cuda: run GAGGLE_PRESET=cuda tools/setup.sh first" >&2; exit 2; }
cmake --preset cuda -DGAGGLE_TESTS=ON >build-cuda/configure.log || { cat build-cuda/configure.log; exit 1; }
cmake --build build-cuda --target gaggle_for_bundle test_gpu_for_bundle -- --quiet

bundle=build-cuda/bundle
rm -rf $bundle
mkdir -p $bundle/bin $bundle/lib
for program in gaggle test_gpu; do strip -o $bundle/bin/$program build-cuda/for_bundle/$program; done
cp build-cuda/for_bundle/libgaggle_kernels.so $bundle/lib
cuda=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
g++ -std=c++20 -O2 -Wall -shared -fPIC -I"$cuda/include" -o $bundle/lib/libkernel_times.so tools/gpu/kernel_times.cpp \
  "$cuda"/lib*/libcupti.so
# The system's libraries that are not on every machine; LibTorch and CUDA are on the other side, and so is what the
# C and C++ compilers bring.
for library in $(ldd $bundle/bin/* | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u); do
  case $(basename "$library") in
    libtorch* | libc10* | libcu* | libnv* | libnccl* | libgomp* | libgaggle* | libstdc++* | libgcc_s* | libc.so* | libm.so* | libdl.so* | \
      libpthread.so* | librt.so* | libutil.so*) ;;
    *) cp -L "$library" $bundle/lib ;;
  esac
done
newest() { objdump -T $bundle/bin/* $bundle/lib/* 2>/dev/null | grep -o "$1_[0-9.]*" | sort -uV | tail -1; }
du -sm $bundle | awk '{print "bundle: " $1 " MB in '$bundle'"}'
echo "it needs $(newest GLIBC) and $(newest GLIBCXX), torch $(sed -n 's/^torch==//p' tools/requirements.txt) and CUDA 13"
