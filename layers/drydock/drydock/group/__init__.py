"""RollGroup: the members of an Auto Scaling group, in turn."""
