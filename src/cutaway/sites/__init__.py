"""What can be read: the declared parameters and sites."""
