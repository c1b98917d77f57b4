"""The tensor-product convolution: one form, a plain reference, and compiled code for the CPU."""
