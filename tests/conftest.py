"""Fixtures and settings that every folder of tests may use."""

from hypothesis import settings

# A slow machine is no failure: nothing here judges time.
settings.register_profile("ebbtide", deadline=None)
settings.load_profile("ebbtide")
