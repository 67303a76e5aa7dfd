# Refuses a compiler that can not build the kernels, before it fails in the middle of them. Included
# by CMakeLists.txt, and run alone by tests/documents/test_configuration.py:
#   cmake -DCMAKE_CXX_COMPILER_ID=GNU -DCMAKE_CXX_COMPILER_VERSION=8.3 -P csrc/compiler.cmake

# Vector extensions with __builtin_convertvector; C++17. Built with GCC 12 in CI.
set(TSSSL_LEAST_GNU 9)
set(TSSSL_LEAST_Clang 9)
set(TSSSL_LEAST_AppleClang 11)

set(accepted "accepted: GCC 9, Clang 9, AppleClang 11 or newer (on Windows clang-cl), 64-bit")
set(without "TSSSL_BUILD_EXT=0 installs without compiled kernels; with the extra numba they are compiled at their first use")
set(found "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} (${CMAKE_CXX_COMPILER})")
set(least "${TSSSL_LEAST_${CMAKE_CXX_COMPILER_ID}}")

if(CMAKE_CXX_COMPILER_ID STREQUAL "MSVC")
  message(FATAL_ERROR "C++ compiler: ${found} has no vector extensions; ${accepted}: CXX=clang-cl. ${without}")
elseif(least STREQUAL "")
  message(WARNING "C++ compiler: ${found} was never tried; ${accepted}")
elseif(CMAKE_CXX_COMPILER_VERSION VERSION_LESS least)
  message(FATAL_ERROR "C++ compiler: ${found} is too old; ${accepted}. CXX=PATH names another one. ${without}")
endif()
if(DEFINED CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  math(EXPR bits "8 * ${CMAKE_SIZEOF_VOID_P}")
  message(FATAL_ERROR "C++ compiler: ${found} builds for ${bits} bits; ${accepted}. ${without}")
endif()
