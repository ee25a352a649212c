"""The only code that speaks to the container runtime: mux, ttrpc, messages, plugin."""
