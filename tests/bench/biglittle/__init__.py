"""What Big-Little converts, and what it saves."""
