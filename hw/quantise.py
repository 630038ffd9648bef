"""Weights and activations in the number formats of chips, and what is lost on the way."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

LEVELS, AXON_TYPES = 256, 4  # TrueNorth: 9-bit signed levels; one of four for each axon
ANALOG_MAX = 63  # BrainScaleS-2: 6 bits without a sign, which the row holds


class Quantised(NamedTuple):
    """Integers, and the step that each stands for: weight = values x step."""

    values: Int[np.ndarray, "..."]
    step: float | Float[np.ndarray, "..."]

    @property
    def weights(self) -> Float[np.ndarray, "..."]:
        """What the chip works with, in the unit of the original."""
        return self.values * self.step

    def error(self, weights: Float[np.ndarray, "..."]) -> float:
        """Root mean square error over that of the weights."""
        size = np.sqrt(np.mean(np.square(weights)))
        return float(np.sqrt(np.mean(np.square(self.weights - weights))) / size) if size else 0.0


def symmetric(weights: Float[np.ndarray, "..."], bits: int) -> Quantised:
    """Signed integers of so many bits, zero in the middle; one step for all.

    Args:
        weights: any shape, finite.
        bits: at least 1; one bit holds the sign alone.

    Raises:
        ValueError: for less than a bit, or weights that are not finite.
    """
    _check(weights, bits)
    most, largest = max(2 ** (bits - 1) - 1, 1), float(np.abs(weights).max(initial=0))
    if bits == 1:
        step = float(np.abs(weights).mean()) if weights.size else 1.0
        return Quantised(np.where(weights < 0, -1, 1), step or 1.0)
    step = largest / most if largest else 1.0
    return Quantised(np.clip(np.rint(weights / step), -most, most).astype(np.int64), step)


def least_error(weights: Float[np.ndarray, "..."], bits: int) -> Quantised:
    """Signed integers of so many bits, with the step, of a grid, that errs least in the square.

    With few bits, to cut the largest weights costs less than to round the small ones away.
    """
    widest = symmetric(weights, bits)
    if bits == 1:
        return widest
    most = max(2 ** (bits - 1) - 1, 1)
    tried = [widest]
    for share in np.linspace(0.1, 1.0, 37)[:-1]:
        step = widest.step * share
        values = np.clip(np.rint(weights / step), -most, most).astype(np.int64)
        tried.append(Quantised(values, step))
    return min(tried, key=lambda made: made.error(weights))


def loihi(weights: Float[np.ndarray, " m"], *, bits: int = 9) -> Quantised:
    """Loihi's mantissas of synapses of mixed sign: `bits` with the sign, and so even numbers.

    The step is one unit of mantissa; Loihi's own exponent only scales all by a power of two.

    Source: Michaelis et al. (2022), Front. Neuroinform. 16:1015624, weight precision.
    """
    _check(weights, bits)
    most, largest = 2 ** (bits - 1) - 2, float(np.abs(weights).max(initial=0))
    step = largest / most if largest else 1.0
    even = 2 * np.rint(weights / step / 2)
    return Quantised(np.clip(even, -most, most).astype(np.int64), step)


def loihi_saturate(mantissa: Int[np.ndarray, " m"], exponent: int) -> Int[np.ndarray, " m"]:
    """Weights as Loihi adds them: even mantissas times 2^(6 + exponent), cut to whole 64ths.

    Raises:
        ValueError: if a mantissa does not fit 9 bits, or an exponent lies outside -8..7.
    """
    if not -8 <= exponent <= 7:
        raise ValueError(f"exponent must lie in [-8, 7], got {exponent}")
    if mantissa.size and not -256 <= mantissa.min() <= mantissa.max() <= 254:
        raise ValueError(f"mantissa must lie in [-256, 254], got up to {np.abs(mantissa).max()}")
    size = np.abs(mantissa // 2 * 2).astype(np.int64)
    return np.sign(mantissa) * (size << 6 << exponent if exponent >= 0 else size << 6 >> -exponent)


class Crossbar(NamedTuple):
    """TrueNorth's weights: a level for each axon type of each neuron, and which synapses exist."""

    axon_type: Int[np.ndarray, " axons"]
    level: Int[np.ndarray, "neurons types"]  # signed, 9 bits
    joined: Bool[np.ndarray, "axons neurons"]
    step: float

    @property
    def values(self) -> Int[np.ndarray, "axons neurons"]:
        """Integer weights, zero where nothing is joined."""
        return self.joined * self.level.T[self.axon_type]


def truenorth(weights: Float[np.ndarray, "axons neurons"], *, sweeps: int = 12) -> Crossbar:
    """The crossbar nearest to a weight matrix, found by turns: levels, then types and synapses.

    Every axon has one of four types, every neuron a level for each type: a weight is a level or
    nothing. Each turn can only lessen the squared error.
    """
    _check(weights, 9)
    largest = float(np.abs(weights).max(initial=0)) or 1.0
    step = largest / (LEVELS - 1)
    scaled = weights / step
    # begin with axons sorted by their mean: excitatory and inhibitory ones apart
    rank = np.argsort(np.argsort(scaled.mean(axis=1), kind="stable"))
    axon_type = rank * AXON_TYPES // max(len(rank), 1)
    joined = np.ones(scaled.shape, bool)
    level = np.zeros((scaled.shape[1], AXON_TYPES))
    for _ in range(sweeps):
        member = np.eye(AXON_TYPES)[axon_type]  # (axons, types)
        count = member.T @ joined
        mean = np.divide(member.T @ (scaled * joined), count, where=count > 0, out=0.0 * count)
        level = np.clip(np.rint(mean), -LEVELS, LEVELS - 1).T
        # with a type, each synapse takes its level or nothing, whichever is nearer
        missed = [np.minimum((scaled - level[:, k]) ** 2, scaled**2).sum(1) for k in range(4)]
        axon_type = np.argmin(missed, axis=0)
        levels = level.T[axon_type]
        joined = (scaled - levels) ** 2 < scaled**2
    return Crossbar(axon_type, level.astype(np.int64), joined, step)


def analog(
    weights: Float[np.ndarray, " m"],
    fixed_noise: float,
    trial_noise: float,
    *,
    keys: tuple[Array, Array],
) -> Float[np.ndarray, "2 m"]:
    """BrainScaleS-2's synapses: 6 bits and a sign, as they were set and as one trial finds them.

    Args:
        weights: as trained.
        fixed_noise: spread of synapses' strengths over the chip, relative; the same every trial.
        trial_noise: spread from trial to trial, relative.
        keys: of the chip, and of the trial.

    Returns: in units of the weights, without noise and with it. The size of the noise is the
        caller's: no figure is published here.
    """
    _check(weights, 6)
    step = float(np.abs(weights).max(initial=0)) / ANALOG_MAX or 1.0
    values = np.clip(np.rint(weights / step), -ANALOG_MAX, ANALOG_MAX) * step
    made, found = (np.asarray(jax.random.normal(key, weights.shape)) for key in keys)
    return np.stack([values, values * (1 + fixed_noise * made) * (1 + trial_noise * found)])


def activation(x: Float[Array, "..."], bits: int, largest: float) -> Float[Array, "..."]:
    """A rectified activation in so many bits, as Akida and NorthPole pass them between layers.

    2^bits - 1 steps from 0 to `largest`, with the slope of the unrounded function for training.
    """
    most = 2**bits - 1
    clipped = jnp.clip(x, 0.0, largest)
    rounded = jnp.rint(clipped / largest * most) / most * largest
    return clipped + jax.lax.stop_gradient(rounded - clipped)


def _check(weights: np.ndarray, bits: int):
    if bits < 1:
        raise ValueError(f"bits must be at least 1, got {bits}")
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite")
