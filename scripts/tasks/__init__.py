"""What the programs in scripts/ do: standard library only, as they run before any set-up."""
