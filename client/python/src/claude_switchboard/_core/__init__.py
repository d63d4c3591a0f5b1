"""Requests, answers, retries and streams without any network, shared by both clients."""
