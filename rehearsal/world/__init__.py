"""What the account's machines, groups, windows and load balancers do in virtual time."""
