#include "runtime/dispatch.h"

#include <stdexcept>

#include "runtime/isa.h"

// Every kernel source defines its family's table once per instruction set, in the namespace of that
// set; this file alone chooses between them.
#define TSSSL_DECLARE(isa)                             \
  namespace tsssl {                                    \
  namespace isa {                                      \
  const AugmentKernels& augment_kernels();             \
  const ContrastiveKernels& contrastive_kernels();     \
  const DecorrelationKernels& decorrelation_kernels(); \
  const KeyKernels& key_kernels();                     \
  const MaskingKernels& masking_kernels();             \
  const EpilogueKernels& epilogue_kernels();           \
  const PreprocessKernels& preprocess_kernels();       \
  }                                                    \
  }

TSSSL_DECLARE(baseline)
#ifdef TSSSL_HAVE_avx2
TSSSL_DECLARE(avx2)
#endif
#ifdef TSSSL_HAVE_avx512
TSSSL_DECLARE(avx512)
#endif

#ifdef TSSSL_HAVE_avx512bf16
namespace tsssl {
namespace avx512bf16 {
const NtXentKernels<float>& nt_xent_bf16_kernels();
}
}  // namespace tsssl
#endif

#ifdef TSSSL_HAVE_avx2
#define TSSSL_CASE_avx2(table) \
  case Isa::avx2:              \
    return avx2::table();
#else
#define TSSSL_CASE_avx2(table)
#endif
#ifdef TSSSL_HAVE_avx512
#define TSSSL_CASE_avx512(table) \
  case Isa::avx512:              \
    return avx512::table();
#else
#define TSSSL_CASE_avx512(table)
#endif

#define TSSSL_SELECT(table)                                                             \
  switch (active_isa()) {                                                               \
    TSSSL_CASE_avx2(table) TSSSL_CASE_avx512(table) default : return baseline::table(); \
  }

namespace tsssl {

const AugmentKernels& augments() { TSSSL_SELECT(augment_kernels) }
const ContrastiveKernels& contrastive() { TSSSL_SELECT(contrastive_kernels) }
const KeyKernels& contrastive_keys() { TSSSL_SELECT(key_kernels) }
const DecorrelationKernels& decorrelation() { TSSSL_SELECT(decorrelation_kernels) }
const MaskingKernels& masking() { TSSSL_SELECT(masking_kernels) }
const EpilogueKernels& epilogues() { TSSSL_SELECT(epilogue_kernels) }
const PreprocessKernels& preprocessing() { TSSSL_SELECT(preprocess_kernels) }

const NtXentKernels<float>& nt_xent_bf16() {
  const std::string why = why_not_bf16();
#ifdef TSSSL_HAVE_avx512bf16
  if (why.empty()) return avx512bf16::nt_xent_bf16_kernels();
#endif
  throw std::runtime_error(why);
}

}  // namespace tsssl
