// Four products on the tensor unit of the instruction set that this file is compiled for.
#include "gemm/tile_unit.h"

namespace tsssl {
namespace TSSSL_ISA {

// left: two operand tiles, right: two, results: four, row by row, added to.
void tile_products(const void* left, const void* right, float* results) {
  const Bf16* a = static_cast<const Bf16*>(left);
  const Bf16* b = static_cast<const Bf16*>(right);
  float* c[4];
  for (int t = 0; t < 4; ++t) c[t] = results + t * kResultNumbers;
  TileUnit unit;
  unit.load(c[0], c[1], c[2], c[3], kResultBytes);
  unit.multiply(a, a + kTileNumbers, b, b + kTileNumbers);
  unit.store(c[0], c[1], c[2], c[3], kResultBytes);
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
