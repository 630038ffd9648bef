"""Rates of integrate-and-fire populations in theory: diffusion limit, self-consistent."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx


class Membrane(NamedTuple):
    """A leaky integrate-and-fire neuron as the theory knows it; SI units."""

    tau_mem: float  # s
    v_threshold: float  # V above rest
    v_reset: float
    t_ref: float  # s


def siegert_rate(membrane: Membrane, mean: float, deviation: float) -> float:
    r"""Stationary rate (Hz) under white noise: $1/\nu = t_{ref} + \tau\sqrt\pi \int_a^b \phi$.

    $\phi(u) = e^{u^2}(1 + \mathrm{erf}\,u)$, with $a = (V_r - \mu)/\sigma$ and
    $b = (\theta - \mu)/\sigma$.

    Args:
        membrane: the neuron.
        mean: $\mu$, of the membrane without threshold, V.
        deviation: $\sigma$, of the input, V; the free membrane's is $\sigma/\sqrt 2$.

    Source: Siegert (1951), Phys. Rev. 81:617; Brunel (2000), J. Comput. Neurosci. 8:183, eq. 21.
    """
    if not deviation > 0:
        raise ValueError(f"deviation must be positive, got {deviation}")
    low, high = ((v - mean) / deviation for v in (membrane.v_reset, membrane.v_threshold))
    if high > 25:  # e^{625}: less than a spike in the age of the universe
        return 0.0
    nodes, weights = _quadrature()
    u = 0.5 * (high - low) * nodes + 0.5 * (high + low)
    integral = 0.5 * (high - low) * np.sum(weights * erfcx(-u))
    return float(1 / (membrane.t_ref + membrane.tau_mem * np.sqrt(np.pi) * integral))


@cache  # an eigenvalue problem, a thousand times dearer than its use
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre, enough for the steepest integrand."""
    return np.polynomial.legendre.leggauss(400)


def self_consistent_rate(answer: Callable[[float], float], bracket: tuple[float, float]) -> float:
    """The rate that reproduces itself, answer(rate) = rate, by Brent's method.

    Raises:
        ValueError: if the answer does not cross the diagonal within the bracket.
    """
    excess = lambda rate: answer(rate) - rate
    if not excess(bracket[0]) * excess(bracket[1]) < 0:
        raise ValueError(f"answer(rate) - rate must change its sign in {bracket} Hz")
    return float(brentq(excess, *bracket))
