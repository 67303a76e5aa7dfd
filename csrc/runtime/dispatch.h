// The kernels of the instruction set in use, one table per family.
#pragma once
#include "tsssl/augment.h"
#include "tsssl/contrastive.h"
#include "tsssl/decorrelation.h"
#include "tsssl/keys.h"
#include "tsssl/masking.h"
#include "tsssl/preprocess.h"
#include "tsssl/sigmoid_triplet.h"

namespace tsssl {

const AugmentKernels& augments();
const ContrastiveKernels& contrastive();
const KeyKernels& contrastive_keys();
const DecorrelationKernels& decorrelation();
const MaskingKernels& masking();
const EpilogueKernels& epilogues();
const PreprocessKernels& preprocessing();

// NT-Xent with bfloat16 products. Throws std::runtime_error where why_not_bf16() has a reason.
const NtXentKernels<float>& nt_xent_bf16();

}  // namespace tsssl
