"""What is made of verdicts: report, drawn failures, stamps, pages, outputs written back."""
