"""Predictive coding: networks that settle by descending one energy."""
