"""An AWS account in one process, on a virtual clock, to rehearse Drydock before it touches anything."""
