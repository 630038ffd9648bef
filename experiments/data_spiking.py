"""Data sets made by rule, for spikes: yin-yang and random manifolds."""

from functools import cache

import numpy as np
from jaxtyping import Float

from experiments.data import Samples

RADIUS, DOT = 0.5, 0.1  # of the figure, and of its two dots
CLASSES = "yin", "yang", "dot"


@cache
def yin_yang(size: int, seed: int) -> Samples:
    """Points of the yin-yang figure as (x, y, 1 - x, 1 - y), classes yin 0, yang 1, dot 2.

    Every class is drawn as often: the class first, then points until one is of it. The published
    sets have 5,000 training samples of seed 42, 1,000 of 41 for validation and 1,000 of 40.

    Source: Kriener, Goeltz & Petrovici (2022), NICE, "The Yin-Yang dataset".
    """
    random = np.random.RandomState(seed)
    points, labels = np.empty((size, 2)), np.empty(size, np.int32)
    for k in range(size):
        goal = random.randint(3)
        while True:
            x, y = random.rand(2) * 2 * RADIUS
            if np.hypot(x - RADIUS, y - RADIUS) <= RADIUS and _class_of(x, y) == goal:
                break
        points[k], labels[k] = (x, y), goal
    return Samples(np.concatenate([points, 1 - points], axis=1).astype(np.float32), labels)


def _class_of(x: float, y: float) -> int:
    right, left = np.hypot(x - 1.5 * RADIUS, y - RADIUS), np.hypot(x - 0.5 * RADIUS, y - RADIUS)
    if right < DOT or left < DOT:
        return 2
    yang = right <= DOT or DOT < left <= 0.5 * RADIUS or (y > RADIUS and right > 0.5 * RADIUS)
    return int(yang)


def random_manifolds(
    size: int, units: int, *, classes: int = 10, smoothness: float = 2.0, seed: int = 0
) -> Samples:
    r"""Spike times in [0, 1], one a unit, on a smooth random curve a class: shape (size, units).

    A unit's time is $\sum_i \theta_i i^{-\alpha} \sin 2\pi(i x \phi_i + \psi_i)$ over position x
    on the curve, scaled to [0, 1]. Classes are equally frequent.

    Source: Zenke & Vogels (2021), Neural Comput. 33:899, section 2.3.
    """
    if size % classes:
        raise ValueError(f"size must be a multiple of {classes} classes, got {size}")
    random, waves = np.random.default_rng(seed), np.arange(1, 1001)
    labels = np.repeat(np.arange(classes, dtype=np.int32), size // classes)
    position: Float[np.ndarray, "classes each"] = random.random((classes, size // classes))
    grid, times = np.linspace(0, 1, 1000), np.empty((size, units))
    for unit in range(units):
        for c in range(classes):
            theta = random.random((3, len(waves)))
            wave = lambda x, t=theta: (
                (t[0] * waves**-smoothness)
                @ np.sin(2 * np.pi * (waves[:, None] * x * t[1][:, None] + t[2][:, None]))
            )
            curve = wave(grid[None, :])
            low, high = curve.min(), curve.max()
            values = np.interp(position[c], grid, (curve - low) / (high - low))
            times[labels == c, unit] = values
    order = random.permutation(size)
    return Samples(times[order].astype(np.float32), labels[order])
