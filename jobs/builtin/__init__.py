"""The job types that are always there: every module of this package is imported by `load`."""
