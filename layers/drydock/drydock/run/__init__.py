"""MaintenanceRun: a run, from the plan to the report."""
