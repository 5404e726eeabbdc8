# Libraries from the system (lowest versions checked), LibTorch, MPI and CUDA.
# An own LibTorch: -DCMAKE_PREFIX_PATH=/path/to/libtorch; an own MPI: -DMPI_HOME=/path. Else those of .venv.
set(venv ${PROJECT_SOURCE_DIR}/.venv)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(fmt 9 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(tomlplusplus 3.3 QUIET)
if(NOT tomlplusplus_FOUND)
  pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus>=3.3)
  add_library(tomlplusplus::tomlplusplus ALIAS PkgConfig::TOMLPLUSPLUS)
endif()
find_package(CLI11 2.1 REQUIRED)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece>=0.1.97)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc>=2.6)

# Optional: batches of varying length leave glibc's heap in pieces (half as much memory again after some steps).
set(GAGGLE_JEMALLOC AUTO CACHE STRING "Link gaggle with jemalloc: OFF, or AUTO (where it is found)")
find_library(JEMALLOC jemalloc NO_CACHE)
if(GAGGLE_JEMALLOC STREQUAL "OFF" OR GAGGLE_SANITIZE OR NOT JEMALLOC)
  set(JEMALLOC "")
endif()
message(STATUS "jemalloc: ${JEMALLOC}")

# MPI
set(GAGGLE_WITH_MPI OFF)
add_library(gaggle_mpi INTERFACE)
if(NOT GAGGLE_MPI STREQUAL "OFF")
  if(NOT MPI_HOME AND NOT DEFINED ENV{MPI_HOME} AND EXISTS ${venv}/bin/mpicxx)
    set(MPI_HOME ${venv})
  endif()
  find_package(MPI COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(GAGGLE_WITH_MPI ON)
    # Its -pthread defines _REENTRANT, which the precompiled header was made without; glibc needs neither.
    get_target_property(mpi_options MPI::MPI_CXX INTERFACE_COMPILE_OPTIONS)
    list(FILTER mpi_options EXCLUDE REGEX "-pthread")
    set_target_properties(MPI::MPI_CXX PROPERTIES INTERFACE_COMPILE_OPTIONS "${mpi_options}")
    target_link_libraries(gaggle_mpi INTERFACE MPI::MPI_CXX)
    target_compile_definitions(gaggle_mpi INTERFACE OMPI_SKIP_MPICXX)
  elseif(GAGGLE_MPI STREQUAL "ON")
    message(FATAL_ERROR "GAGGLE_MPI=ON, but no MPI was found: set MPI_HOME to the folder that holds bin/mpicxx")
  endif()
endif()
message(STATUS "MPI: ${MPI_CXX_LIBRARIES}")

if(NOT GAGGLE_TORCH)
  return()
endif()

# CUDA
set(GAGGLE_WITH_CUDA OFF)
if(NOT GAGGLE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # the one that LibTorch loads: streams cross between us
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    find_package(CUDAToolkit 12.8 REQUIRED)
    set(GAGGLE_WITH_CUDA ON)
  elseif(GAGGLE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "GAGGLE_CUDA=ON, but nvcc was not found: put it on PATH or set CUDACXX")
  endif()
endif()
message(STATUS "CUDA: ${GAGGLE_WITH_CUDA}")
if(GAGGLE_WITH_CUDA)
  # Only its header: the library is the one that LibTorch loads, opened by name (src/comm/nccl_cuda.cpp).
  file(GLOB nccl_hints ${venv}/lib/python3*/site-packages/nvidia/nccl/include)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${nccl_hints})
  message(STATUS "NCCL: ${NCCL_INCLUDE}")
  if(NOT NCCL_INCLUDE AND GAGGLE_CUDA STREQUAL "ON" AND GAGGLE_NCCL)
    message(FATAL_ERROR "nccl.h was not found: run tools/setup.sh, which installs it into .venv, set "
      "-DNCCL_INCLUDE=/path/to/include, or build without NCCL by -DGAGGLE_NCCL=OFF (tensors then travel between GPUs "
      "through the hosts' memory)")
  endif()
endif()

# LibTorch: linked by library, not by find_package(Torch), which asks for a CUDA toolkit even for a CPU build.
file(GLOB torch_hints ${venv}/lib/python3*/site-packages/torch)
find_path(TORCH_ROOT include/ATen/ATen.h PATH_SUFFIXES torch libtorch HINTS ${torch_hints} NO_CACHE)
if(NOT TORCH_ROOT)
  message(FATAL_ERROR "LibTorch was not found: run tools/setup.sh, or set CMAKE_PREFIX_PATH to your libtorch folder")
endif()
set(torch_version_file ${TORCH_ROOT}/include/torch/csrc/api/include/torch/version.h)  # up to 2.9
if(EXISTS ${TORCH_ROOT}/include/torch/headeronly/version.h)
  set(torch_version_file ${TORCH_ROOT}/include/torch/headeronly/version.h)
endif()
file(STRINGS ${torch_version_file} torch_version REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
list(TRANSFORM torch_version REPLACE ".* ([0-9]+)$" "\\1")
list(JOIN torch_version "." torch_version)
if(torch_version VERSION_LESS 2.11)  # c10::Stream::native_handle, at::cpu::get_cpu_capabilities, DeviceAllocator::getMemoryInfo
  message(FATAL_ERROR "gaggle needs LibTorch 2.11 or newer (found '${torch_version}' in ${TORCH_ROOT})")
endif()
message(STATUS "LibTorch: ${torch_version} in ${TORCH_ROOT}")
add_library(gaggle_torch INTERFACE)
# Last of all include folders: the wheel also carries headers of fmt and protobuf that are not ours.
target_compile_options(gaggle_torch INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter ${TORCH_ROOT}/include -idirafter ${TORCH_ROOT}/include/torch/csrc/api/include>"
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler -idirafter -Xcompiler ${TORCH_ROOT}/include>")
target_link_libraries(gaggle_torch INTERFACE ${TORCH_ROOT}/lib/libtorch_cpu.so ${TORCH_ROOT}/lib/libc10.so)
target_compile_definitions(gaggle_torch INTERFACE GAGGLE_TORCH_VERSION="${torch_version}")
# at::parallel_for is a plain loop in translation units without OpenMP. One runtime in a process: LibTorch's own.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(gaggle_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  find_library(torch_gomp NAMES libgomp.so.1 gomp HINTS ${TORCH_ROOT}/lib NO_CACHE REQUIRED)
  target_link_libraries(gaggle_torch INTERFACE ${torch_gomp})
endif()
if(GAGGLE_WITH_CUDA)
  # Linked only: no header or definition of CUDA reaches other files.
  add_library(gaggle_torch_cuda INTERFACE)
  target_link_libraries(gaggle_torch_cuda INTERFACE $<LINK_ONLY:CUDA::cudart> -Wl,--no-as-needed
    ${TORCH_ROOT}/lib/libtorch_cuda.so ${TORCH_ROOT}/lib/libc10_cuda.so -Wl,--as-needed)
endif()
