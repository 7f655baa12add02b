"""What a project has, read without running any of it: the ground for `init`."""
