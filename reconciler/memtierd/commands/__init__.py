"""The commands of memtierd's prompt, one module each."""
