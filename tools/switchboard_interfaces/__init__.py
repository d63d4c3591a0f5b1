"""Readers of what users rely on, used by tools/compatibility."""
