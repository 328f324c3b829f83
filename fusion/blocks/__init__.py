"""Mechanics that several systems share; a block returns (result, internals)."""
