"""The gallery: one file per figure of the papers, and our own."""
