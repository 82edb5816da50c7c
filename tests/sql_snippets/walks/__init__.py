"""The runbook, walked by a machine from each fault of the catalogue to an end."""
