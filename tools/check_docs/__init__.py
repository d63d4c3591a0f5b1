"""Parts of tools/check-docs."""
