"""Ebbtide: keeps the memory of a node's containers where it belongs.

This package decides and drives; `sysfs` is the only code that touches the kernel, `nri` the only code that speaks to
the container runtime. Start reading at `model`, `actions`, `plan`, `loop`.
"""
