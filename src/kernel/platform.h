// What differs between compilers: code for several processors in one program, and functions shared with CUDA.
#pragma once

// GAGGLE_SHARED: an element's arithmetic, the same text in a CPU loop and in a CUDA kernel.
#if defined(__CUDACC__)
#define GAGGLE_SHARED __host__ __device__ __forceinline__
#else
#define GAGGLE_SHARED inline __attribute__((always_inline))
#endif

// GAGGLE_CLONES: a function (or template) of an unnamed namespace compiled for AVX-512, AVX2 and the base line,
// chosen when the program starts. Everything it calls must be GAGGLE_SHARED, so that it is compiled along.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define GAGGLE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GAGGLE_CLONES
#endif

// GAGGLE_BF16_DOT: a function compiled for processors with AVX512-BF16, whose dot products of bf16 no vector extension
// of the compilers reaches. Not defined: there are none. It is called only where has_bf16_dot (kernel/bf16_dot.h).
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define GAGGLE_BF16_DOT __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#endif
