"""What is promised: the formulas of the papers; numbers in, numbers out."""
