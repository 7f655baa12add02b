"""What is missing here, why it matters, and how to get it. Standard library only."""
