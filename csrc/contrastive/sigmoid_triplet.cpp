// The losses of pairs and triplets: one table per instruction set.
#include "tsssl/sigmoid_triplet.h"

#include "contrastive/sigmoid.h"
#include "contrastive/triplet.h"

namespace tsssl {
namespace TSSSL_ISA {

const EpilogueKernels& epilogue_kernels() {
  static const EpilogueKernels table{{sigmoid_forward<float>, sigmoid_backward<float>},
                                     {sigmoid_forward<double>, sigmoid_backward<double>},
                                     {triplet_forward<float>, triplet_backward<float>},
                                     {triplet_forward<double>, triplet_backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
