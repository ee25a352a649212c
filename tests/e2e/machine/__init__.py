"""Throw-away virtual machines, for stories and for people."""
