"""The only code that touches the kernel: one module a kernel interface, values in and out."""
