"""What apps promise to one another: step types and job types, registered once and then frozen."""
