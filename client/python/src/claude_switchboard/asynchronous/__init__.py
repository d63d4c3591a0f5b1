"""Asynchronous client and its parts."""
