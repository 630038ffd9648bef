"""The ledger: what happened on the cores, in integers, before anything is priced."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Num

Counts = Array | np.ndarray


class Ledger(NamedTuple):
    """Events of one step (or of many, with leading axes), counted on the core that does the work.

    A message is one spike on its way to one core: a neuron that reaches k cores sends k of them,
    one to its own core if it has synapses there. Hops are counted on the sender's core. Counts
    have the dtype of the spikes: exact for integers, expectations for rates.
    """

    soma_access: Num[Counts, "*time cores"]  # neurons visited: all of a core, each step
    neuron_update: Num[Counts, "*time cores"]  # of them, those with something to integrate
    spike: Num[Counts, "*time cores"]
    axon_out: Num[Counts, "*time cores"]  # messages sent
    axon_in: Num[Counts, "*time cores"]  # messages received, from the host too
    synaptic_event: Num[Counts, "*time cores"]  # synapses reached by spikes
    zero_weight_event: Num[Counts, "*time cores"]  # of them, those of weight zero
    hop_east: Num[Counts, "*time cores"]
    hop_west: Num[Counts, "*time cores"]
    hop_north: Num[Counts, "*time cores"]
    hop_south: Num[Counts, "*time cores"]
    learning_update: Num[Counts, "*time cores"]  # a plastic synapse whose pre or post spikes
    host_message: Num[Counts, "*time cores"]  # of axon_in, those from outside the chip
    barrier: Num[Counts, "*time cores"]  # the core waited for all others once
