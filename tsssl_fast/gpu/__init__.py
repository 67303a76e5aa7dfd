"""What every Triton backend shares, and what can be known of its kernels without a GPU.

backend          TritonBackend, why_not, lazily imported kernels
specialisation   one compiled form of a kernel: what is launched and what is compiled ahead of time
targets          the architectures, their limits and published rates
compiled         registers, spills, shared memory and instructions of a compiled kernel
numbers          Triton functions that behave alike on a GPU and in the interpreter
table            `python -m tsssl_fast.gpu`: all of it, checked

But for `numbers`, nothing here imports triton before a kernel is launched or compiled.
"""
