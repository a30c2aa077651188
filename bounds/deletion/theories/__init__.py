"""Every theory before the same deletion: what each asks for, point by point (`comparison`, over `catalogue`)."""
