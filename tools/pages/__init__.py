"""README.md and docs/: what MkDocs does to a page, and whether its blocks run."""
