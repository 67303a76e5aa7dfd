// What holds while a kernel runs.
#pragma once
#include <pybind11/pybind11.h>

#include "runtime/float_mode.h"

namespace tsssl {
namespace {

// The interpreter's lock is given back, and the caller's arithmetic is IEEE's as its threads' is.
class KernelScope {
 private:
  pybind11::gil_scoped_release released_;
  FloatMode mode_;
};

}  // namespace
}  // namespace tsssl
