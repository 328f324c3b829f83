"""Explanations: each returns an Explanation whose trace the ordinary views draw."""
