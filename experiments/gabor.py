"""How much of a receptive field a Gabor function explains, and how oriented it is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

STEPS = 40  # of the fit; it moves no more after about 20
DAMPING = 1e-2


class Gabor(NamedTuple):
    """Best Gabor function of a receptive field."""

    explained: Float[Array, ""]  # share of the field's square
    orientation: Float[Array, ""]  # of the bars, radians from the x axis
    frequency: Float[Array, ""]  # cycles a pixel


def fit_gabor(field: Float[Array, "rows columns"]) -> Gabor:
    r"""Least squares of $e^{-u^2 / 2 a^2 - v^2 / 2 b^2} \cos(2 \pi f u + \varphi)$ on a field.

    u runs across the bars and v along them, both turned and shifted. Amplitude and phase are solved
    for exactly within damped Gauss-Newton steps on the other six numbers, from 24 starts.

    Source: Jones & Palmer (1987), J. Neurophysiol. 58, 1233-1258, for the model; Golub & Pereyra
    (1973), SIAM J. Numer. Anal. 10, for variable projection.
    """
    rows, columns = field.shape
    y, x = jnp.meshgrid(jnp.arange(rows) * 1.0, jnp.arange(columns) * 1.0, indexing="ij")
    target = field.ravel() / jnp.maximum(jnp.linalg.norm(field), jnp.finfo(field.dtype).tiny)
    mass = field**2 / jnp.maximum(jnp.sum(field**2), jnp.finfo(field.dtype).tiny)
    centre = jnp.sum(mass * x), jnp.sum(mass * y)
    width = jnp.log(min(rows, columns) / 5)

    def residual(p):
        x0, y0, angle, across, along, frequency = p
        u = (x - x0) * jnp.cos(angle) + (y - y0) * jnp.sin(angle)
        v = (y - y0) * jnp.cos(angle) - (x - x0) * jnp.sin(angle)
        envelope = jnp.exp(-0.5 * ((u / jnp.exp(across)) ** 2 + (v / jnp.exp(along)) ** 2))
        waves = jnp.cos(2 * jnp.pi * frequency * u), jnp.sin(2 * jnp.pi * frequency * u)
        basis = jnp.stack([(envelope * wave).ravel() for wave in waves], axis=1)
        gram = basis.T @ basis + 1e-6 * jnp.eye(2)  # the sine vanishes at frequency 0
        return target - basis @ jnp.linalg.solve(gram, basis.T @ target)

    def step(p, _):
        error, slope = residual(p), jax.jacfwd(residual)(p)
        curve = slope.T @ slope + DAMPING * jnp.eye(6)
        ahead = p - jnp.linalg.solve(curve, slope.T @ error)
        ahead = ahead.at[5].set(jnp.clip(ahead[5], 0.0, 0.5))  # up to Nyquist
        ahead = ahead.at[3:5].set(jnp.clip(ahead[3:5], 0.0, jnp.log(float(max(rows, columns)))))
        better = jnp.sum(residual(ahead) ** 2) < jnp.sum(error**2)
        return jnp.where(better, ahead, p), None

    def from_start(angle, frequency):
        start = jnp.stack([*centre, angle, width, width, frequency])
        p, _ = jax.lax.scan(step, start, length=STEPS)
        return p, 1 - jnp.sum(residual(p) ** 2)

    angles = jnp.repeat(jnp.arange(8) * jnp.pi / 8, 3)
    frequencies = jnp.tile(jnp.array([0.07, 0.14, 0.25]), 8)
    found, explained = jax.vmap(from_start)(angles, frequencies)
    best = jnp.argmax(explained)
    angle = (found[best, 2] + jnp.pi / 2) % jnp.pi
    return Gabor(explained[best], angle, found[best, 5])


def orientation_selectivity(field: Float[Array, "rows columns"]) -> Float[Array, ""]:
    r"""$|\sum_k P_k e^{2 i \theta_k}| / \sum_k P_k$ over the spectrum's power P at angles $\theta$.

    1 for a grating, 0 for what has no orientation or two at right angles: one less the circular
    variance of orientation.

    Source: Ringach, Shapley & Hawken (2002), J. Neurosci. 22, 5639-5651.
    """
    size = 4 * max(field.shape)  # padded: the spectrum in small steps
    power = jnp.abs(jnp.fft.fft2(field, (size, size))) ** 2
    wave = jnp.fft.fftfreq(size)
    angle = jnp.arctan2(*jnp.meshgrid(wave, wave, indexing="ij"))
    turning = jnp.sum(power * jnp.exp(2j * angle))
    return jnp.abs(turning) / jnp.maximum(jnp.sum(power), jnp.finfo(field.dtype).tiny)
