"""Readers and writers of the kernel, against files that behave like the kernel's."""
