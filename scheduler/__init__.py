"""When something happens: schedules, misfires and fires, known to the rest by name."""
