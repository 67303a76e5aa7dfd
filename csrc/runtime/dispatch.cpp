#include "runtime/dispatch.h"

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
#ifdef TSSSL_HAVE_amx
namespace amx {
TSSSL_UNIT_TABLES(TSSSL_DECLARE)
}
#endif
#ifdef TSSSL_HAVE_amx_emulated
namespace amx_emulated {
TSSSL_UNIT_TABLES(TSSSL_DECLARE)
}
#endif
#ifdef TSSSL_HAVE_avx512bf16
namespace avx512bf16 {
TSSSL_UNIT_TABLES(TSSSL_DECLARE)
}
#endif

// Of the instruction set whose vectors are in use.
namespace vectors {
#define TSSSL_SELECT(type, name)                                                       \
  const type& name() {                                                                 \
    switch (vector_isa()) {                                                            \
      TSSSL_CASE_avx2(name) TSSSL_CASE_avx512(name) default : return baseline::name(); \
    }                                                                                  \
  }
TSSSL_TABLES(TSSSL_SELECT)
}  // namespace vectors

#define TSSSL_VECTORS(type, name) \
  const type& name() { return vectors::name(); }
TSSSL_VECTOR_TABLES(TSSSL_VECTORS)

#ifdef TSSSL_HAVE_amx
#define TSSSL_CASE_amx(name) \
  case Isa::amx:             \
    return amx::name();
#else
#define TSSSL_CASE_amx(name)
#endif
#ifdef TSSSL_HAVE_avx512bf16
#define TSSSL_CASE_avx512bf16(name) \
  case Isa::avx512bf16:             \
    return avx512bf16::name();
#else
#define TSSSL_CASE_avx512bf16(name)
#endif
#ifdef TSSSL_HAVE_amx_emulated
#define TSSSL_CASE_amx_emulated(name) \
  case Isa::amx_emulated:             \
    return amx_emulated::name();
#else
#define TSSSL_CASE_amx_emulated(name)
#endif
#define TSSSL_UNIT(type, name)                                                               \
  const type& name() {                                                                       \
    switch (active_isa()) {                                                                  \
      TSSSL_CASE_amx(name) TSSSL_CASE_amx_emulated(name) TSSSL_CASE_avx512bf16(name) default \
          : return vectors::name();                                                          \
    }                                                                                        \
  }
TSSSL_UNIT_TABLES(TSSSL_UNIT)

}  // namespace tsssl
