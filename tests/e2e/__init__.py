"""The product in virtual machines: real kernels, a real container runtime."""
