"""What people ask for, checked whole before anything is looked at."""
