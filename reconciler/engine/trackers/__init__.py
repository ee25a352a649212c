"""Trackers: each finds out which regions were accessed since it looked last, by its own means."""
