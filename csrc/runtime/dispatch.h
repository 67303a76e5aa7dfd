// The kernels of the instruction set in use, one table per operator.
#pragma once
#include "tsssl/augment.h"
#include "tsssl/contrastive.h"
#include "tsssl/decorrelation.h"
#include "tsssl/keys.h"
#include "tsssl/masking.h"
#include "tsssl/preprocess.h"
#include "tsssl/sigmoid_triplet.h"

// TABLE(type, name) for every table. The source of the operator's name defines name() in the
// namespace of each instruction set that it is compiled for.
#define TSSSL_TABLES(TABLE) TSSSL_UNIT_TABLES(TABLE) TSSSL_VECTOR_TABLES(TABLE)

// Those that are written on the tensor unit as well.
#define TSSSL_UNIT_TABLES(TABLE)                 \
  TABLE(ByDtype<PairKernels>, pairs_kernels)     \
  TABLE(ByDtype<KeyKernels>, keys_kernels)       \
  TABLE(ByDtype<NtXentKernels>, nt_xent_kernels) \
  TABLE(ByInput<VicregKernels>, vicreg_kernels)  \
  TABLE(ByInput<BarlowKernels>, barlow_twins_kernels)

#define TSSSL_VECTOR_TABLES(TABLE)                \
  TABLE(ByDtype<GroupedKernels>, grouped_kernels) \
  TABLE(ByDtype<SigmoidKernels>, sigmoid_kernels) \
  TABLE(ByDtype<TripletKernels>, triplet_kernels) \
  TABLE(ByDtype<AugmentKernels>, augment_kernels) \
  TABLE(AugmentSample, augment_sample_kernel)     \
  TABLE(MaskKernel, mask_kernel)                  \
  TABLE(ByDtype<FillKernels>, fill_kernels)       \
  TABLE(ByDtype<MaskedLossKernels>, loss_kernels) \
  TABLE(TokenKernels, tokens_kernels)             \
  TABLE(ByDtype<PreprocessKernels>, preprocess_kernels)

namespace tsssl {

#define TSSSL_DECLARE(type, name) const type& name();
TSSSL_TABLES(TSSSL_DECLARE)

// The same on vectors of float32: for what bfloat16 pairs and the tensor unit leave to others.
namespace vectors {
TSSSL_TABLES(TSSSL_DECLARE)
}

}  // namespace tsssl
