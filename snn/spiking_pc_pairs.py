"""Spiking predictive coding without signs: ON and OFF units whose spikes are all alike.

Door to `fep`: the rule is a gradient in the sense of its `Learner`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.learning import Batch
from fep.predictive_coding.network import PCNetwork
from snn.plasticity import pair_trace
from snn.spiking_pc import Deposit, SpikingPC, Trial
from snn.spiking_pc_learning import TracePlasticity, descent

SIGNS = 1, -1  # what a spike of ON and of OFF stands for


def paired_deposits(populations: SpikingPC, trial: Trial) -> tuple[Deposit, ...]:
    """What the synapses of unsigned pairs saw in a trial: one a weight matrix, ON before OFF.

    Spikes and traces are of no sign: a trace is the sum of its own unit's spikes, and grows only.
    """
    codes, deposits = populations.codes, ()
    for i in range(len(codes.values)):
        pre = _cycles(codes.values[i].sizes, trial.start.values[i], trial.spikes.values[i])
        post = _cycles(codes.errors[i].sizes, trial.start.errors[i], trial.spikes.errors[i])
        known = jnp.cumsum(post, axis=0) - post  # of errors, when the values fire
        deposits += (Deposit(pre, jnp.cumsum(pre, axis=0), post, known),)
    return deposits


def net(change: Float[Array, "posts pres"]) -> Float[Array, "post pre"]:
    """What the four synapses of two pairs make together of the weight that they share."""
    blocks = [jnp.split(rows, 2, axis=1) for rows in jnp.split(change, 2, axis=0)]
    return blocks[0][0] - blocks[0][1] - blocks[1][0] + blocks[1][1]


class PairedTracePlasticity(TracePlasticity):
    r"""Trace plasticity of ON and OFF units, all of whose spikes and traces are of one sign.

    Each value and error unit is two, which share a membrane: ON tells its upward spikes, OFF its
    downward ones, so that r = r_on - r_off and h = h_on - h_off. Each of the four synapses between
    two pairs sees its own two traces alone; the weight they share changes by their signed sum,
    $\Delta w = \sum_{s, s'} s s' \bar h_s \bar r_{s'} = h r$. `hw` lowers signed units
    to such neurons.

    Source: Lee et al. (2024), Front. Comput. Neurosci. 18:1338280, for errors told apart by sign.
    """

    def learn(self, network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork, Trial]:
        """Mean settled energy of a batch (nats), minus its mean deposit, and recorded trials."""
        populations = self.populations(network)
        trials = self.settle(network, batch)
        changes = []
        for deposit in jax.vmap(lambda trial: paired_deposits(populations, trial))(trials):
            on, off = jnp.split(jnp.mean(jnp.sum(deposit.post_spikes, axis=1), axis=0), 2)
            changes.append((net(pair_trace(*deposit)) / len(deposit.pre_spikes), on - off))
        energy = jnp.mean(jax.vmap(populations.energy)(trials.state))
        return energy, descent(network, changes), trials


def _cycles(
    sizes: Float[Array, " n"], start: Float[Array, "n d"], spikes: Float[Array, "steps n d"]
) -> Float[Array, "cycles pairs"]:
    """Sizes of all spikes of each half in each cycle, ON units before OFF units."""
    trains = jnp.concatenate([start[None], spikes])
    halves = [jnp.maximum(sign * trains, 0) for sign in SIGNS]
    return jnp.concatenate([jnp.einsum("n,cnd->cd", sizes, half) for half in halves], axis=1)
