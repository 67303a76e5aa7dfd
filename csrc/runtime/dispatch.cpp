#include "runtime/dispatch.h"

#include <stdexcept>

#include "runtime/isa.h"

// Every kernel source defines its table once per instruction set, in the namespace of that set;
// this file alone chooses between them.
namespace tsssl {
namespace baseline {
TSSSL_TABLES(TSSSL_DECLARE)
}
#ifdef TSSSL_HAVE_avx2
namespace avx2 {
TSSSL_TABLES(TSSSL_DECLARE)
}
#define TSSSL_CASE_avx2(name) \
  case Isa::avx2:             \
    return avx2::name();
#else
#define TSSSL_CASE_avx2(name)
#endif
#ifdef TSSSL_HAVE_avx512
namespace avx512 {
TSSSL_TABLES(TSSSL_DECLARE)
}
#define TSSSL_CASE_avx512(name) \
  case Isa::avx512:             \
    return avx512::name();
#else
#define TSSSL_CASE_avx512(name)
#endif
#ifdef TSSSL_HAVE_avx512bf16
namespace avx512bf16 {
const NtXentKernels<float>& nt_xent_bf16_kernels();
}
#endif

#define TSSSL_SELECT(type, name)                                                       \
  const type& name() {                                                                 \
    switch (active_isa()) {                                                            \
      TSSSL_CASE_avx2(name) TSSSL_CASE_avx512(name) default : return baseline::name(); \
    }                                                                                  \
  }
TSSSL_TABLES(TSSSL_SELECT)

const NtXentKernels<float>& nt_xent_bf16_kernels() {
  const std::string why = why_not_bf16();
#ifdef TSSSL_HAVE_avx512bf16
  if (why.empty()) return avx512bf16::nt_xent_bf16_kernels();
#endif
  throw std::runtime_error(why);
}

}  // namespace tsssl
