"""The cases of the registry, one module a subject, each with a list CASES."""
