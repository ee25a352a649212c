"""Tests; a package so that they may share fakes."""
