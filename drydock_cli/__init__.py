"""The commands for a real stack: run, plan, watch, stop, approve and reject. They need boto3 and nothing of moto."""
