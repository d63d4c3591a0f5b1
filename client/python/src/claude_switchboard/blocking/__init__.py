"""Blocking client and its parts."""
