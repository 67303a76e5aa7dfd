// Working memory of one kernel call: aligned for the widest vector, given back when it goes out of
// scope; the thread keeps up to 64 MB of it for its next call.
#pragma once
#include <cstddef>

namespace tsssl {

void* scratch_allocate(std::size_t bytes);  // throws std::bad_alloc
void scratch_free(void* pointer);

namespace {

template <class T>
class Scratch {
 public:
  explicit Scratch(std::size_t count)
      : data_(static_cast<T*>(scratch_allocate(count * sizeof(T)))) {}
  ~Scratch() { scratch_free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_;
};

}  // namespace
}  // namespace tsssl
