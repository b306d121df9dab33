"""PatchInstance: one machine."""
