"""Toy worlds as pure functions: reset and step."""
