"""Readers of files from outside, whole files for each, and a folder of malformed ones that all must be refused."""
