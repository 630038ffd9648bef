"""Runs of any length: scanned, cut into chunks, probed, and refused if spikes were lost."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PRNGKeyArray

from snn.events import Words
from snn.network import Network, NetworkState

Probe = Callable[[NetworkState], Any]  # what of the state is kept; a pytree of arrays


class Recording(NamedTuple):
    """What a run leaves behind, with time as the leading axis."""

    spikes: dict[str, Words]  # packed, by group; `snn.events.raster` unpacks
    probed: Any  # what the probe kept, once every `every` steps


class Watch(NamedTuple):
    """What to keep of a run beside its spikes.

    Attributes:
        probe: called on the state.
        every: steps between two calls; the last state of each stretch is seen.
    """

    probe: Probe
    every: int = 1


NOTHING = Watch(lambda state: ())


def run(
    network: Network,
    state: NetworkState,
    steps: int,
    *,
    key: PRNGKeyArray,
    inputs: dict[str, Array] | None = None,
    watch: Watch = NOTHING,
) -> tuple[NetworkState, Recording]:
    """Advance a network: the state after `steps` steps, and a recording.

    Cutting a run in pieces changes no bit: time is in the state, and keys are folded with it.

    Args:
        network: what to run.
        state: where to start.
        steps: how many of network.dt.
        key: one for all pieces of a run.
        inputs: by group, with a leading axis (steps,).
        watch: what to keep beside spikes.

    Raises:
        RuntimeError: at the end, if a delivery had no room for a spike.
        ValueError: if steps is no multiple of watch.every.
    """
    if steps % watch.every:
        raise ValueError(f"steps must be a multiple of every = {watch.every}, got {steps}")
    stretches = steps // watch.every

    def stretch(state, inputs):
        step = lambda state, now: network.step(state, now, key=key)
        state, spikes = jax.lax.scan(step, state, inputs, length=watch.every)
        return state, Recording(spikes, watch.probe(state))

    cut = lambda a: a.reshape(stretches, watch.every, *a.shape[1:])
    state, recording = jax.lax.scan(stretch, state, jax.tree.map(cut, inputs), length=stretches)
    joined = jax.tree.map(lambda a: a.reshape(steps, *a.shape[2:]), recording.spikes)
    return checked(state), recording._replace(spikes=joined)


def in_chunks(
    advance: Callable[[NetworkState, int], tuple[NetworkState, Recording]],
    state: NetworkState,
    chunks: int,
) -> Iterator[tuple[NetworkState, Recording]]:
    """A long run as pieces that each fit in memory: the state and recording after each.

    Args:
        advance: a compiled piece, (state, number of the chunk) -> (state, recording).
        state: where to start; any state that was yielded resumes the run.
        chunks: how many.
    """
    for chunk in range(chunks):
        state, recording = advance(state, chunk)
        yield state, recording


def over_devices(trial: Callable[[Any], Any], mesh: Mesh) -> Callable[[Any], Any]:
    """Many trials, dealt out to the devices of a mesh: `trial` mapped over a leading axis.

    A device runs its trials one after the other, as they would run alone, so that no bit depends on
    the number of devices. Nothing travels between them.

    Args:
        trial: of one key, or of any pytree of inputs: what it returns is joined again.
        mesh: of one axis, whose size must divide the number of trials.
    """
    (axis,) = mesh.axis_names
    dealt = PartitionSpec(axis)
    mine = lambda trials: jax.lax.map(trial, trials)
    # loops carry constants that no device varies in, which the check of replication would refuse
    return jax.shard_map(mine, mesh=mesh, in_specs=dealt, out_specs=dealt, check_vma=False)


def checked(state: NetworkState) -> NetworkState:
    """The same state, refused at run time if any spike was lost on the way to it."""
    return eqx.error_if(
        state,
        state.lost > 0,
        "spikes were lost: more neurons fired in one step than the capacity of an EventScatter",
    )
