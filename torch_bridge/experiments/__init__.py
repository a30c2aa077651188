"""The papers' deep-net questions as commands: `unlearncheck deep difficulty`, `clipping` and `audit`.

Every experiment is a list of stages. A finished stage is kept in a work folder named after the settings, so that an
interrupted command goes on where it stopped; the result is one JSON file (numbers) and one .npz (arrays).
"""
