"""What goes in and out over HTTP, declared once: parameters, answers, units."""
