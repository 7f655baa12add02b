"""On a change, do again only what it made stale."""
