"""What Drydock's functions share: decisions, and the AWS calls that carry them out."""
