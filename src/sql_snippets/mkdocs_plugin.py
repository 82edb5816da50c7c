"""The MkDocs edge: show beside each block what its last run proved."""
