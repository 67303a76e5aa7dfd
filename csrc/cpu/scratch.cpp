#include "cpu/scratch.h"

#include <cstdlib>
#include <new>

namespace tsssl {

void* scratch_allocate(std::size_t bytes) {
  constexpr std::size_t kAlign = 64;
  void* pointer = std::aligned_alloc(kAlign, (bytes + kAlign) / kAlign * kAlign);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

void scratch_free(void* pointer) { std::free(pointer); }

}  // namespace tsssl
