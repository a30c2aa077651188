"""Our own figures, of what no paper shows."""
