"""Parts of `tools/check-deploy`."""
