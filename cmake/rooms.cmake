# gaggle_room(name rooms libraries): every source under src/<name> as one static library.

function(gaggle_room name rooms)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "src/app/main.cpp$|_cuda.cpp$")
  if(GAGGLE_WITH_MPI)
    list(FILTER sources EXCLUDE REGEX "/no_mpi.cpp$")
    set(of_mpi ${sources})
    list(FILTER of_mpi INCLUDE REGEX "/mpi_[a-z]+.cpp$")
    set_source_files_properties(${of_mpi} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)  # a program may take no_mpi instead
  else()
    list(FILTER sources EXCLUDE REGEX "/mpi_[a-z]+.cpp$")
  endif()
  if(NOT GAGGLE_TORCH)
    list(FILTER sources EXCLUDE REGEX "src/doctor/examine.cpp$")
  endif()
  list(TRANSFORM rooms PREPEND room_)
  set(libraries ${rooms} ${ARGN})
  if(NOT sources)
    add_library(room_${name} INTERFACE)
    target_include_directories(room_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(room_${name} INTERFACE ${libraries})
    return()
  endif()
  add_library(room_${name} STATIC ${sources})
  target_include_directories(room_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(room_${name} PUBLIC ${libraries})
  if("gaggle_torch" IN_LIST libraries)
    gaggle_torch_pch(room_${name})
  endif()
endfunction()

# One precompiled header for everything that sees Torch: the first target makes it, the others use it.
function(gaggle_torch_pch target)
  # A program is compiled with -fPIE, which the header made for libraries (-fPIC) does not fit.
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fPIC>)
  endif()
  get_property(owner GLOBAL PROPERTY gaggle_pch_owner)
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    file(WRITE ${PROJECT_BINARY_DIR}/pch.cpp "")
    add_library(torch_pch STATIC ${PROJECT_BINARY_DIR}/pch.cpp)
    target_include_directories(torch_pch PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(torch_pch PUBLIC gaggle_torch)
    target_precompile_headers(torch_pch PRIVATE <ATen/ATen.h>)
    set_property(GLOBAL PROPERTY gaggle_pch_owner torch_pch)
    target_precompile_headers(${target} REUSE_FROM torch_pch)
  endif()
endfunction()

# What a program that uses GPUs has on top: the kernels in .cu files, and the factory files that name them and NCCL
# in place of those in room_kernel and room_comm. Every other object serves programs with and without CUDA.
function(gaggle_cuda_kernels)
  # The GPU that is none (tests/fake_gpu) takes their place as well.
  set_source_files_properties(src/kernel/dispatch.cpp src/comm/nccl_absent.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  if(NOT GAGGLE_WITH_CUDA)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernel/*.cu)
  # Warnings are errors, and so is a kernel whose registers spill into memory.
  set(strict "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:--expt-relaxed-constexpr -Werror all-warnings -Xcompiler -Wall,-Wextra \
-Xptxas --warn-on-spills,--warning-as-error>")
  add_library(cuda_kernels OBJECT ${sources} ${PROJECT_SOURCE_DIR}/src/kernel/dispatch.cpp)
  target_compile_definitions(cuda_kernels PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:GAGGLE_WITH_CUDA> GAGGLE_CUDA_VERSION="${CUDAToolkit_VERSION}")
  target_compile_options(cuda_kernels PRIVATE ${strict})
  target_link_libraries(cuda_kernels PUBLIC room_base gaggle_torch)
  add_library(cuda_comm OBJECT)
  target_link_libraries(cuda_comm PUBLIC room_base)
  if(NCCL_INCLUDE)
    target_sources(cuda_comm PRIVATE ${PROJECT_SOURCE_DIR}/src/comm/nccl_cuda.cpp)
    target_include_directories(cuda_comm PRIVATE ${NCCL_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS})
  else()
    target_sources(cuda_comm PRIVATE ${PROJECT_SOURCE_DIR}/src/comm/nccl_absent.cpp)
  endif()
endfunction()

function(gaggle_use_cuda target)
  if(GAGGLE_WITH_CUDA)
    target_link_libraries(${target} PRIVATE cuda_kernels cuda_comm gaggle_torch_cuda ${CMAKE_DL_LIBS})
  endif()
endfunction()

# For a bare machine with a GPU (tools/gpu/bundle.sh): programs without MPI, the kernels as a library of their own, which
# nvcc alone can make anew there. Built when asked for.
function(gaggle_for_bundle target name)
  if(NOT TARGET gaggle_kernels)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernel/*.cu)
    add_library(gaggle_kernels SHARED EXCLUDE_FROM_ALL ${sources})
    target_include_directories(gaggle_kernels PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_compile_options(gaggle_kernels PRIVATE "SHELL:--expt-relaxed-constexpr")
    set_target_properties(gaggle_kernels PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/for_bundle)
    add_library(bundled OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/src/kernel/dispatch.cpp
      ${PROJECT_SOURCE_DIR}/src/comm/no_mpi.cpp)
    target_compile_definitions(bundled PRIVATE GAGGLE_WITH_CUDA GAGGLE_CUDA_VERSION="${CUDAToolkit_VERSION}")
    target_link_libraries(bundled PUBLIC room_base gaggle_torch)
  endif()
  target_link_libraries(${target} PRIVATE bundled gaggle_kernels cuda_comm gaggle_torch_cuda ${CMAKE_DL_LIBS})
  set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON OUTPUT_NAME ${name}
    ENABLE_EXPORTS ON  # the kernels' library calls launch_failed
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/for_bundle)
endfunction()

# Programs find LibTorch and MPI by themselves, from the build tree as from an installation.
function(gaggle_program target)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    INSTALL_RPATH_USE_LINK_PATH ON BUILD_RPATH_USE_ORIGIN OFF)
endfunction()
