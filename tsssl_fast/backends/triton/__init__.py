"""What the Triton kernels of all families share.

availability  when they can run, and launchers that are imported at the first call
interpreter   Triton functions that behave alike on a GPU and in the interpreter
"""
