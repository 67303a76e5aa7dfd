"""Tests of Triton kernels in Triton's interpreter: their own process, because TRITON_INTERPRET is
read when triton is imported. tests/backends/test_triton_interpreter.py starts it:

    TRITON_INTERPRET=1 pytest tests/interpreter
"""
