"""The reference service under test: accounts, sessions and API keys."""
