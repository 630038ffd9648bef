"""Data parallel learning: a batch divided among devices, the gradient of the whole."""

from collections.abc import Callable

import equinox as eqx
import jax
from jax.sharding import Mesh, PartitionSpec

from fep.predictive_coding.learning import Batch, Gradient
from fep.predictive_coding.network import PCNetwork


class DataParallel(eqx.Module):
    r"""A gradient rule whose batch is divided evenly over all devices of a mesh.

    Each device settles its own samples; $\frac1D \sum_d g_d$ is the one message between them, as
    long as the network. For rules that take means over samples: predictive coding, nudged, fixed
    prediction, Z-IL and backprop. Equal to one device's gradient but for the order of the sum.

    Attributes:
        gradient: `(network, batch) -> (energy, gradient)`.
        mesh: devices; all of its axes divide the batch.
    """

    gradient: Callable
    mesh: Mesh = eqx.field(static=True)

    def __call__(self, network: PCNetwork, batch: Batch) -> Gradient:
        """Mean energy of a batch (nats) and its gradient, the same on all devices.

        Raises:
            ValueError: if the devices do not divide the batch.
        """
        samples, devices = len(batch[0]), self.mesh.size
        if samples % devices:
            raise ValueError(f"{devices} devices must divide the batch, got {samples} samples")
        weights, rest = eqx.partition(network, eqx.is_array)

        def share(weights, batch):
            found = self.gradient(eqx.combine(weights, rest), batch)
            energy, slope = jax.lax.pmean(found, self.mesh.axis_names)
            return energy, eqx.filter(slope, eqx.is_array)

        whole, divided = PartitionSpec(), PartitionSpec(self.mesh.axis_names)
        run = jax.shard_map(
            share, mesh=self.mesh, in_specs=(whole, divided), out_specs=whole, check_vma=False
        )
        return run(weights, batch)
