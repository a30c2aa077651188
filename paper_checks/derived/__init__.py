"""Statements derived for this project, tried like any other."""
