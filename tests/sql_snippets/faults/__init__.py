"""Everything that can be put wrong in the documented system, and who says whether it is broken."""
