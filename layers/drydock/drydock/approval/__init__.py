"""Asking people, and counting what they say."""
