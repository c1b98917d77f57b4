"""Numerics: small torch modules that know nothing of files or of ASE."""
