"""Builders of the packages, used by tools/package."""
