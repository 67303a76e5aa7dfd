// NT-Xent as a part of other operators.
#pragma once
#include "tsssl/contrastive.h"

namespace tsssl {
namespace TSSSL_ISA {

const ByDtype<NtXentKernels>& nt_xent_kernels();

}  // namespace TSSSL_ISA
}  // namespace tsssl
