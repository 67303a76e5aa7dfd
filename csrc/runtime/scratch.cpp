#include "runtime/scratch.h"

#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace tsssl {
namespace {

constexpr std::size_t kAlign = 64;           // also the size of the header before every block
constexpr std::size_t kKept = 64u << 20;     // bytes a thread may keep
constexpr std::size_t kSmallest = 16 << 10;  // below, malloc is as fast

// Blocks of twice this size and more lie on huge pages where the system has them. On an Intel Xeon
// with AMX, six products of parts of 1024 x 2048 numbers ran at 0.88 TFLOP/s a core from pages of 4
// KB, and at 1.2 from huge ones.
constexpr std::size_t kHugePage = 2u << 20;

void* new_block(std::size_t bytes) {
  if (bytes < 2 * kHugePage) return std::aligned_alloc(kAlign, bytes);
  const std::size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* const block = std::aligned_alloc(kHugePage, whole);
#ifdef MADV_HUGEPAGE
  // An error, as from a kernel without them, leaves small pages.
  if (block != nullptr) madvise(block, whole, MADV_HUGEPAGE);
#endif
  return block;
}

// Blocks that a thread has freed, for its next call: malloc gives large blocks back to the system,
// and every call would pay for fresh pages.
class Kept {
 public:
  ~Kept() {
    for (void*& block : blocks_) std::free(block);
  }

  // The smallest that fits and is at most twice as large; nullptr where there is none.
  void* take(std::size_t bytes) {
    void** best = nullptr;
    for (void*& block : blocks_) {
      if (block == nullptr || size(block) < bytes || size(block) > 2 * bytes) continue;
      if (best == nullptr || size(block) < size(*best)) best = &block;
    }
    if (best == nullptr) return nullptr;
    void* block = *best;
    *best = nullptr;
    total_ -= size(block);
    return block;
  }

  // Smaller blocks make room for a larger one, whose pages cost more.
  bool keep(void* block) {
    if (size(block) < kSmallest || size(block) > kKept) return false;
    for (;;) {
      void** place = nullptr;
      void** smallest = nullptr;
      for (void*& other : blocks_) {
        if (other == nullptr) {
          place = &other;
        } else if (smallest == nullptr || size(other) < size(*smallest)) {
          smallest = &other;
        }
      }
      if (place != nullptr && total_ + size(block) <= kKept) {
        *place = block;
        total_ += size(block);
        return true;
      }
      if (smallest == nullptr || size(*smallest) >= size(block)) return false;
      total_ -= size(*smallest);
      std::free(*smallest);
      *smallest = nullptr;
    }
  }

  static std::size_t& size(void* block) { return *static_cast<std::size_t*>(block); }

 private:
  void* blocks_[16] = {};
  std::size_t total_ = 0;
};

thread_local Kept kept;

}  // namespace

void* scratch_allocate(std::size_t bytes) {
  const std::size_t needed = (bytes + 2 * kAlign) / kAlign * kAlign;
  void* block = needed < kSmallest ? nullptr : kept.take(needed);
  if (block == nullptr) {
    block = new_block(needed);
    if (block == nullptr) throw std::bad_alloc();
    Kept::size(block) = needed;
  }
  return static_cast<char*>(block) + kAlign;
}

void scratch_free(void* pointer) {
  if (pointer == nullptr) return;
  void* block = static_cast<char*>(pointer) - kAlign;
  if (!kept.keep(block)) std::free(block);
}

}  // namespace tsssl
