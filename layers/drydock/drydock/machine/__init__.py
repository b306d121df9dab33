"""PatchInstance and RestoreInstance: one machine."""
