"""Records that the server sends."""
