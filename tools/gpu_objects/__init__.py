"""What can be known of the Triton kernels without a GPU: facts about their compiled forms.

    python tools/gpu_objects [--target sm_90] [--match WORD] [--aligned]

specialisation                        one compiled form of a kernel
recording                             forms of launches that are recorded, not run
augment, contrastive, decorrelation   every form that is launched
targets                               the architectures, their limits and published rates
compiled                              registers, spills, shared memory, instructions of a form
table                                 all of it, checked
"""
