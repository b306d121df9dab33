"""The calls of AWS's services, answered from the world."""
