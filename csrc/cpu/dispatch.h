// The kernels of the instruction set in use, one table per family.
#pragma once
#include "tsssl/contrastive.h"

namespace tsssl {

const ContrastiveKernels& contrastive();

}  // namespace tsssl
