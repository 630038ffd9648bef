"""Mechanisms that spike: neurons, synapses, local plasticity, and circuits of them."""
