"""What spikes an unexpected label costs a network that has learnt to expect the right one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.claims import Row
from fep.predictive_coding.learning import Batch
from snn.coding import HalvingCode
from snn.spiking_pc import SpikingPC
from snn.spiking_pc_learning import SpikingLearner, SpikingLearnerState

COARSER = 4  # octaves above the thresholds that learning needs
FIXED = 6, 8  # halvings of codes from 1 down
THRESHOLDS = (
    "as it learns",
    f"{COARSER} octaves coarser",
    *(f"fixed, {n} halvings" for n in FIXED),
)


def label_surprise(
    learner: SpikingLearner, state: SpikingLearnerState, batch: Batch
) -> Float[Array, "thresholds labels"]:
    """Error spikes of a unit while an image is clamped with its own label, then with another's.

    The expected and the unexpected sample are one image, so that only the label surprises; the
    wrong one is that of the next class.

    Thresholds are those that the learner uses, which follow the mean error and so spend spikes on
    errors of the expected size, whatever it is: an error k times as large takes log2(k) places
    more, a third of them spikes. Those some octaves coarser are deaf to errors of the expected
    size, so that a surprise breaks a silence; fixed ones may be or not.

    Args:
        learner: whose spikes they are.
        state: what it has learnt.
        batch: images and their labels, one-hot.
    """
    images, right = batch
    wrong = jnp.roll(right, 1, axis=1)
    codes = learner.codes
    coarser = replace(codes, errors=codes.errors - COARSER)
    heard = [codes.codes(state.scale), coarser.codes(state.scale)]
    heard += [HalvingCode(1.0, n) for n in FIXED]
    units = sum(len(layer.bias) for layer in state.network.layers)

    def spikes(code):
        settle = jax.vmap(SpikingPC(state.network, code, learner.rate, learner.steps).settle)
        counts = [jnp.sum(settle(images, label).error_spikes) for label in (right, wrong)]
        return jnp.stack(counts) / (len(images) * units)

    return jnp.stack([spikes(code) for code in heard])


def surprise_rows(surprise: Float[np.ndarray, "thresholds labels seeds"]) -> list[Row]:
    """Spikes of the unexpected over those of the expected label; ranges are over seeds."""
    rows = []
    for name, (right, wrong) in zip(THRESHOLDS, surprise, strict=True):
        ratio = wrong / right
        source = f"{np.mean(right):.3g} error spikes a unit with the right label"
        label = f"error spikes, wrong over right label, thresholds {name}"
        low, high = float(np.min(ratio)), float(np.max(ratio))
        rows.append(Row(label, float(np.mean(ratio)), "", source, low, high))
    return rows
