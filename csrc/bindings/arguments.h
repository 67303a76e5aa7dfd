// Tensors reach C++ as addresses: the Python side has checked devices, dtypes and shapes.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>

namespace tsssl {

template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

// One function per family, each in its own file.
void bind_augment(pybind11::module_& module);
void bind_contrastive(pybind11::module_& module);
void bind_decorrelation(pybind11::module_& module);
void bind_keys(pybind11::module_& module);
void bind_masking(pybind11::module_& module);
void bind_sigmoid_triplet(pybind11::module_& module);
void bind_preprocess(pybind11::module_& module);

}  // namespace tsssl
