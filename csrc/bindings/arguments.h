// Tensors reach C++ as memory: the Python side has checked devices, dtypes and shapes. Contiguous
// ones come as Buffer, whose size is checked before a kernel runs; strided ones as an address with
// strides and sizes.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tsssl {

using Address = std::uintptr_t;
using Index = std::int64_t;

template <class T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

// The memory of a contiguous tensor, or of None.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Address address, std::size_t bytes) : data_(pointer<T>(address)), bytes_(bytes) {}

  bool empty() const { return bytes_ == 0; }
  Index size() const { return static_cast<Index>(bytes_ / sizeof(T)); }

  // For `count` elements, no more and no less. Throws std::invalid_argument (ValueError).
  T* holding(const char* name, Index count) const {
    if (bytes_ != static_cast<std::size_t>(count) * sizeof(T)) {
      throw std::invalid_argument(std::string(name) + ": " + std::to_string(bytes_) +
                                  " bytes; accepted: " + std::to_string(count) + " elements of " +
                                  std::to_string(sizeof(T)) + " bytes");
    }
    return data_;
  }
  // The same, or null where there is none.
  T* holding_if_any(const char* name, Index count) const {
    return empty() ? nullptr : holding(name, count);
  }

 private:
  T* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// One function per family, each in its own file.
void bind_augment(pybind11::module_& module);
void bind_contrastive(pybind11::module_& module);
void bind_decorrelation(pybind11::module_& module);
void bind_keys(pybind11::module_& module);
void bind_masking(pybind11::module_& module);
void bind_sigmoid_triplet(pybind11::module_& module);
void bind_preprocess(pybind11::module_& module);

}  // namespace tsssl

namespace pybind11 {
namespace detail {

// From anything with data_ptr(), nbytes and is_contiguous(): the extension does not know torch.
template <class T>
struct type_caster<tsssl::Buffer<T>> {
  PYBIND11_TYPE_CASTER(tsssl::Buffer<T>, const_name("Tensor | None"));

  bool load(handle source, bool) {
    if (source.is_none()) return true;
    static PyObject* const data_ptr = PyUnicode_InternFromString("data_ptr");
    static PyObject* const nbytes = PyUnicode_InternFromString("nbytes");
    static PyObject* const is_contiguous = PyUnicode_InternFromString("is_contiguous");
    const object address = called(source, data_ptr);
    const object bytes = reinterpret_steal<object>(PyObject_GetAttr(source.ptr(), nbytes));
    if (!address || !bytes || called(source, is_contiguous).ptr() != Py_True) {
      PyErr_Clear();
      return false;
    }
    value = {PyLong_AsSize_t(address.ptr()), PyLong_AsSize_t(bytes.ptr())};
    if (PyErr_Occurred() == nullptr) return true;
    PyErr_Clear();
    return false;
  }

 private:
  static object called(handle source, PyObject* method) {
    return reinterpret_steal<object>(PyObject_CallMethodObjArgs(source.ptr(), method, nullptr));
  }
};

}  // namespace detail
}  // namespace pybind11
